"""The textbook CNN: its layers, their sizes and the least picture."""

from __future__ import annotations

import keras
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.networks import backbone, baseline
from tests.support.networks import inputs


def test_the_baseline_is_the_textbooks():
    network = backbone("baseline").network
    kinds = [type(layer).__name__ for layer in network.layers[1:]]
    assert kinds == [*["Conv2D", "MaxPooling2D"] * 3, "Flatten", "Dense"]
    assert [layer.filters for layer in network.layers if isinstance(layer, keras.layers.Conv2D)] == [
        32,
        64,
        128,
    ]
    assert network.count_params() == 896 + 18_496 + 73_856 + (14 * 14 * 128 + 1) * 512


def test_the_least_picture_leaves_one_pixel_of_the_map_and_a_smaller_one_is_refused():
    assert baseline.build(baseline.LEAST).get_layer("pool3").output.shape[1:] == (1, 1, 128)
    with pytest.raises(LookalikeError, match=r"22 pixels or more for the baseline\. Received: 21"):
        baseline.build(baseline.LEAST - 1)


def test_features_are_not_negative_and_the_spec_is_that_of_the_recipe():
    network = baseline.build(32)
    assert network.output_shape == (None, 512)
    assert (network(inputs(network)).numpy() >= 0).all()
    assert baseline.spec(32) == "decode|resize(32,32)|normalize(0,255)"
