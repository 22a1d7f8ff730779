"""A network by its parts, and statistics that stay: small graphs. Each kind of network is in test_networks.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.networks import backbone
from lookalike.model.training.parts import frozen_statistics, parts


def gradients_of(body, network, x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(body(x, training=True) - 1.0))
    variables = [variable.value for layer in network.layers for variable in layer.trainable_variables]
    return [g.numpy() for g in tape.gradient(loss, variables)]


@pytest.mark.parametrize(("scale", "center"), [(True, True), (True, False), (False, True), (False, False)])
def test_folding_changes_no_gradient(scale, center):
    def norm():
        return keras.layers.BatchNormalization(
            scale=scale,
            center=center,
            moving_mean_initializer="random_normal",
            beta_initializer="random_normal",
        )

    image = keras.Input((9, 9, 3))
    x = norm()(keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image))
    x = norm()(keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.ReLU(6.0)(x)))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(norm()(keras.layers.Conv2D(4, 1)(x))))
    body = frozen_statistics(network)
    kinds = [type(layer).__name__ for layer in body.layers]
    assert kinds.count("FoldedConvolution") == 2
    assert kinds.count("FrozenStatistics") == 1  # one has a bias

    def plain(x, training):
        return network(x, training=False)

    x = np.random.default_rng(0).normal(size=(4, 9, 9, 3)).astype("float32")
    for one, other in zip(gradients_of(body, network, x), gradients_of(plain, network, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("baseline", {"size": 32}),
        ("residual", {"size": 64}),
        ("efficientnet_lite0", {"size": 64, "weights": "none"}),
    ],
)
def test_parts_are_the_stages_of_the_networks(name, options):
    ends = ["head"] if name == "baseline" else ["stage3", "stage4"]
    assert [part.name for part in parts(backbone(name, **options).network)] == [
        "stem",
        "stage1",
        "stage2",
        *ends,
    ]


def test_a_trained_copy_of_frozen_statistics_moves_the_weights_of_the_network_itself():
    image = keras.Input((4, 4, 3))
    network = keras.Model(
        image, keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3, use_bias=False)(image))
    )
    body = frozen_statistics(network)
    assert {id(variable) for variable in body.trainable_variables} == {
        id(variable) for variable in network.trainable_variables
    }
