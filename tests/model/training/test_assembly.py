"""A network made ready: the embedding layer, the head that the loss asks for, the copy for averages."""

import keras
import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.networks import Backbone
from lookalike.model.training.assembly import EMBEDDING, assemble, embedder, on_features, policy_of
from lookalike.model.training.recipe import Recipe
from tests.conftest import SPEC, tiny_network
from tests.support.networks import inputs

COUNTS = np.array([5, 3, 2])


def small_network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(image))
    return keras.Model(image, keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x)))


def assembled(loss="norm_softmax", frozen=False, policy="float32", **keys):
    recipe = Recipe.model_validate({"loss": {"name": loss}, **keys})
    return assemble(small_network(), recipe, COUNTS, frozen, policy)


def test_the_embedding_layer_stands_on_the_features_unless_there_is_to_be_none():
    backbone = Backbone(tiny_network(), SPEC)
    assert embedder(backbone, None) is backbone.network
    network = embedder(backbone, 5)
    assert network.layers[-1].name == EMBEDDING
    assert network.output_shape == (None, 5)


def test_a_network_that_has_an_embedding_layer_gets_no_second_one():
    network = embedder(Backbone(tiny_network(), SPEC), 5)
    with pytest.raises(LookalikeError, match="Expected no layer named embedding"):
        embedder(Backbone(network, SPEC), 5)


def test_on_features_it_gives_what_the_whole_network_gives_and_shares_no_weights():
    network = embedder(Backbone(tiny_network(), SPEC), 5)
    alone = on_features(network)
    x = inputs(network)
    features = keras.Model(network.input, network.get_layer("features").output)(x)
    expected = network(x).numpy()
    np.testing.assert_array_equal(alone(features), expected)
    alone.layers[-1].kernel.assign(alone.layers[-1].kernel * 0.0)
    np.testing.assert_array_equal(network(x), expected)


@pytest.mark.parametrize(
    ("loss", "shape"), [("cross_entropy", (2, 3)), ("norm_softmax", (2, 3)), ("circle", (2, 6))]
)
def test_the_head_is_the_one_that_the_loss_takes(loss, shape):
    assert assembled(loss).head(np.ones((2, 6), np.float32)).shape == shape


def test_the_average_begins_with_the_weights_and_is_not_trained_with_them():
    assembly = assembled(policy="mixed_bfloat16")
    for trained, average in zip(assembly.network.weights, assembly.average.weights, strict=True):
        np.testing.assert_array_equal(trained, average)
    assert {layer.compute_dtype for layer in assembly.network.layers if layer.weights} == {"bfloat16"}
    assert {layer.compute_dtype for layer in assembly.average.layers} == {"float32"}
    assert not {id(w) for w in assembly.network.weights} & {id(w) for w in assembly.average.weights}


def test_statistics_are_frozen_only_where_they_are_to_be():
    free, frozen = assembled(), assembled(frozen=True)
    assert free.body is free.network
    assert frozen.body is not frozen.network
    x = inputs(frozen.network)
    before = [weight.numpy() for weight in frozen.network.non_trainable_variables]
    frozen.body(x, training=True)
    for one, other in zip(before, frozen.network.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_logit_adjustment_gives_the_loss_the_prior_of_the_classes():
    loss = assembled("cross_entropy", imbalance={"logit_adjustment": 0.5}).loss
    np.testing.assert_allclose(np.exp(loss.options["log_prior"]), COUNTS / COUNTS.sum(), rtol=1e-6)
    assert loss.options["tau"] == 0.5


def test_one_class_is_nothing_to_tell_apart():
    with pytest.raises(LookalikeError, match=r"Expected two classes or more to tell apart\. Received: 1"):
        assemble(small_network(), Recipe(), np.array([5]), False, "float32")


@pytest.mark.parametrize(("precision", "policy"), [("float32", "float32"), ("bfloat16", "mixed_bfloat16")])
def test_a_precision_that_is_named_is_the_one_that_is_used(precision, policy):
    assert policy_of(precision) == policy


@pytest.mark.parametrize(
    ("cpu", "policy"), [("flags: avx512_bf16", "float32"), ("flags: amx_bf16", "mixed_bfloat16")]
)
def test_of_itself_it_is_bfloat16_where_the_processor_multiplies_it(monkeypatch, cpu, policy):
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: cpu)
    assert policy_of("auto") == policy
