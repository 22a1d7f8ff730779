"""Copies of networks: equal, with weights of their own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lookalike.model.networks import backbone
from lookalike.model.networks.copies import copied
from lookalike.model.training.parts import frozen_statistics
from tests.support.networks import inputs


def small_network():
    """With an operator without weights, and a normalisation that computes with copies of its own."""
    image = keras.Input((6, 6, 3))
    normalised = keras.layers.Normalization()
    normalised.adapt(np.random.default_rng(1).normal(3, 2, (4, 6, 6, 3)))
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(normalised(image / 2.0))))


def test_a_copy_gives_the_same_and_has_weights_of_its_own():
    network = small_network()
    copy = copied(network)
    x = inputs(network)
    np.testing.assert_array_equal(copy(x), network(x))
    before = network(x).numpy()
    copy.layers[-1].kernel.assign(copy.layers[-1].kernel + 1.0)
    np.testing.assert_array_equal(network(x), before)
    assert not np.allclose(copy(x), before)


def test_changes_go_to_the_layers_and_not_to_operators_between_them():
    copy = copied(small_network(), dtype="mixed_bfloat16")
    assert copy.layers[-1].compute_dtype == "bfloat16"
    assert copy(inputs(copy)).dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "ConvNeXtTiny", "EfficientNetB0", "ResNet50V2"])
def test_networks_of_keras_are_copied_and_frozen_as_they_are(name):
    # With operators between layers, and with normalisation of pixels inside.
    network = backbone(name, size=64, weights="none").network
    x = inputs(network)
    expected = network(x)
    np.testing.assert_array_equal(copied(network)(x), expected)
    np.testing.assert_allclose(frozen_statistics(network)(x), expected, rtol=1e-4, atol=1e-5)
