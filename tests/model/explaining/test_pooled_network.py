"""Networks are cut where they pool; those whose features are no sum over places are told from the others."""

import numpy as np
import pytest

from lookalike.model import imports
from lookalike.model.explaining.pooled_network import cut
from lookalike.model.networks.heads import UnitLength

SHAPE = (8, 10, 3)


def built(tail, *, padding="same"):
    """A convolution and what `tail` makes of its map, as Keras's network and TensorFlow's function."""
    keras, tf = imports.keras(), imports.tensorflow()
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(6, 3, 2, padding=padding, activation="relu", bias_initializer="normal")(image)
    network = keras.Model(image, tail(keras.layers, x))
    function = tf.function(lambda pixels: network(pixels, training=False))
    return network, function.get_concrete_function(tf.TensorSpec((None, *SHAPE), tf.float32))


def pooled(layers, x):
    return layers.GlobalAveragePooling2D()(x)


def dense(layers, activation=None):
    return layers.Dense(5, activation=activation, bias_initializer="normal")


def trained_head(layers, x):
    x = dense(layers)(layers.Dropout(0.5)(pooled(layers, x)))
    return layers.BatchNormalization(moving_mean_initializer="normal")(x)


SUMS = {
    "average": (pooled, "avg"),
    "maximum": (lambda layers, x: layers.GlobalMaxPooling2D()(x), "max"),
    "map, pooled by gem": (lambda layers, x: x, "gem"),
    "average, dense, batch normalisation": (trained_head, "avg"),
    "maximum, dense": (lambda layers, x: dense(layers)(layers.GlobalMaxPooling2D()(x)), "max"),
    "average, dense, length of 1": (
        lambda layers, x: layers.UnitNormalization()(dense(layers)(pooled(layers, x))),
        "avg",
    ),
    "average, length of 1 as in training, dense": (
        lambda layers, x: dense(layers)(UnitLength()(pooled(layers, x))),
        "avg",
    ),
    "average that keeps its places, 1 x 1 convolution, flattened": (
        lambda layers, x: layers.Flatten()(
            layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
        ),
        "avg",
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_features_are_the_sum_of_the_parts_of_all_places(name):
    tail, pooling = SUMS[name]
    network, function = built(tail)
    found = cut(function)
    assert found is not None
    assert found.pooling == pooling
    pixels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    parts = found.parts(pixels)
    features = np.asarray(network(pixels[None]))[0]
    if pooling == "gem":
        features = np.cbrt((np.maximum(features, 1e-6).astype(np.float64) ** 3).mean((0, 1)))
    assert parts.shape == (4, 5, len(features))
    assert np.allclose(parts.sum((0, 1)), features, rtol=1e-5, atol=1e-6)


def test_a_place_that_is_like_no_other_has_a_part_of_its_own():
    _, function = built(trained_head)
    pixels = np.zeros(SHAPE, np.float32)
    even = cut(function).parts(pixels)
    pixels[3, 3] = 9
    changed = np.abs(cut(function).parts(pixels) - even).sum(axis=2)
    assert {tuple(place) for place in np.argwhere(changed > 1e-6).tolist()} == {(1, 1)}


def test_what_is_not_linear_behind_the_pooling_has_no_parts():
    _, function = built(lambda layers, x: dense(layers, "relu")(pooled(layers, x)))
    assert cut(function).parts(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)) is None


def test_one_place_alone_has_no_parts():
    keras = imports.keras()
    _, function = built(lambda layers, x: pooled(layers, keras.layers.AveragePooling2D((4, 5))(x)))
    assert cut(function).parts(np.ones(SHAPE, np.float32)) is None


@pytest.mark.parametrize(
    "tail",
    [
        lambda layers, x: dense(layers)(layers.Flatten()(x)),
        lambda layers, x: layers.Concatenate()([pooled(layers, x), layers.GlobalMaxPooling2D()(x)]),
    ],
)
def test_a_network_that_does_not_pool_or_does_so_twice_is_not_cut(tail):
    assert cut(built(tail)[1]) is None
