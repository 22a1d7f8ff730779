"""The contract that every network keeps, and what is peculiar to each kind."""

import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.model.networks import Backbone, applications, available, backbone
from lookalike.model.training.parts import frozen_statistics, parts
from tests.conftest import picture
from tests.support.networks import inputs

# Small inputs: what is tested does not depend on the size.
SMALL = {
    "baseline": {"size": 32},
    "residual": {"size": 64},
    "efficientnet_lite0": {"size": 64, "weights": "none"},
    "mobilenet_v2": {"size": 64, "weights": "none"},
    "file.keras": {"layer": "embedding", "preprocessing": "decode|resize(40,32)|normalize(0,255)"},
}
FEATURES = {
    "baseline": 512,
    "residual": 384,
    "efficientnet_lite0": 1280,
    "mobilenet_v2": 1280,
    "file.keras": 24,
}
# More of the same kind, or slow to quantise.
SLOW = {"mobilenet_v2", "efficientnet_lite0"}
SLOW_INT8 = {*SLOW, "residual"}


def marked(slow: set[str]) -> list:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in SMALL]


def user_model():
    """What a user might have trained: a network inside a network, operators between layers, normalisation of pixels by
    what was seen, augmentation and dropout, then a classifier."""
    layers = keras.layers
    inner = keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Conv2D(16, 3, strides=2, padding="same", name="_conv_2"),
        ],
        name="inner",
    )
    image = keras.Input((40, 32, 3), name="picture")
    seen = layers.Normalization(name="seen")
    seen.adapt(np.random.default_rng(0).normal(0.2, 0.5, (8, 40, 32, 3)))
    x = inner(layers.RandomFlip("horizontal", name="flip")(seen(image * 1.5 - 0.5)))
    x = layers.GlobalAveragePooling2D(name="pool")(x + keras.ops.relu(x))
    x = layers.Dropout(0.3, name="dropout")(layers.Dense(24, activation="elu", name="embedding")(x))
    inner.trainable = False
    return keras.Model(image, layers.Dense(5, activation="softmax", name="classes")(x), name="users")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the user's file is."""
    folder = tmp_path_factory.mktemp("files")
    keras.utils.set_random_seed(1)
    user_model().save(folder / "file.keras")
    return folder


def make(name: str, folder: Path, **options) -> Backbone:
    path = str(folder / name) if "." in name else name
    return backbone(path, **SMALL[name] | options)


@pytest.fixture(scope="module", params=marked(SLOW))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(name, folder) -> Backbone:
    return make(name, folder)


def test_gives_a_vector_of_the_known_length(made, name):
    network = made.network
    assert network.output_shape == (None, FEATURES[name])
    features = network(inputs(network)).numpy()
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert made.pretrained == name.startswith("file")


def test_the_spec_makes_what_the_network_takes(made, pictures):
    assert parse_spec(made.preprocessing).pixels(pictures["p00.jpg"])[0].shape == made.network.input_shape[1:]


def test_another_picture_in_the_batch_changes_nothing(made):
    x = inputs(made.network)
    together, alone = made.network(x, training=False), made.network(x[1:2], training=False)
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-4, atol=1e-5)


def test_a_seed_gives_the_same_weights_and_leaves_other_randomness_alone(made, name, folder):
    random.seed(5)
    expected = random.random()
    random.seed(5)
    again = make(name, folder)
    assert random.random() == expected
    for one, other in zip(made.network.get_weights(), again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["baseline", "residual", "efficientnet_lite0"])
def test_another_seed_gives_other_weights(name, folder):
    one, other = (make(name, folder, seed=seed).network.get_weights()[0] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_every_trained_weight_is_in_exactly_one_part(made):
    divided = parts(made.network)
    inside = [id(variable) for part in divided for variable in part.variables]
    assert sorted(inside) == sorted(id(variable) for variable in made.network.trainable_variables)
    assert len(set(inside)) == len(inside)
    names = [part.name for part in divided]
    assert names[0] == "stem"
    assert len(set(names)) == len(names)
    assert all(part.layers for part in divided)


def test_a_frozen_part_is_not_trained(made):
    first, *rest = parts(made.network)
    for layer in first.layers:
        layer.trainable = False
    try:
        assert not first.variables
        assert len(made.network.trainable_variables) == sum(len(part.variables) for part in rest)
    finally:
        for layer in first.layers:
            layer.trainable = True


def statistics(network) -> list[np.ndarray]:
    return [v.numpy() for v in network.non_trainable_variables if "moving_" in v.path]


def step(network, trained, size=8):
    """One step of gradient descent on an arbitrary loss; gives the gradients."""
    with tf.GradientTape() as tape:
        features = trained(inputs(network, size), training=True)
        loss = tf.reduce_mean(tf.square(features - 1.0))
    variables = trained.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign_sub(0.1 * gradient)
    return gradients


def test_statistics_stay_while_scales_are_trained(name, folder):
    network = make(name, folder).network
    for variable in network.non_trainable_variables:
        if "moving_mean" in variable.path:
            variable.assign(variable + 0.1)
    frozen = frozen_statistics(network)
    x = inputs(network)
    np.testing.assert_allclose(frozen(x), network(x), rtol=1e-5, atol=1e-6)
    before, scales = (
        statistics(network),
        [v.numpy() for v in network.trainable_variables if "gamma" in v.path],
    )
    gradients = step(network, frozen)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    for one, other in zip(before, statistics(network), strict=True):
        np.testing.assert_array_equal(one, other)
    after = [v.numpy() for v in network.trainable_variables if "gamma" in v.path]
    if scales:
        assert any(not np.array_equal(*pair) for pair in zip(scales, after, strict=True))
    np.testing.assert_allclose(frozen(x), network(x), rtol=1e-5, atol=1e-6)


def test_without_freezing_statistics_move(name, folder):
    network = make(name, folder).network
    before = statistics(network)
    assert all(np.isfinite(gradient).all() for gradient in step(network, network))
    for one, other in zip(before, statistics(network), strict=True):
        assert not np.array_equal(one, other)


def test_survives_saving_and_loading(made, tmp_path):
    x = inputs(made.network)
    made.network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(loaded(x), made.network(x), rtol=1e-5, atol=1e-6)


def settle(made: Backbone, sample: list[bytes]) -> None:
    """Gives batch normalisation the statistics of these pictures; without any, an untrained network gives zeros."""
    norms = [layer for layer in made.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    preprocess = parse_spec(made.preprocessing)
    made.network(
        np.stack([preprocess.normalize(preprocess.pixels(image)[0]) for image in sample]), training=True
    )


@pytest.mark.parametrize("name", marked(SLOW_INT8))
def test_becomes_an_encoder_whose_int8_agrees_with_float(name, folder, tmp_path):
    # Depthwise convolutions need trained weights to survive eight bits: EfficientNet-Lite0 of this size has 0.99 with
    # its own and 0.80 with random ones. It comes with trained ones; MobileNetV2 does not, so of it only the
    # conversion is tested, and how well it agrees is not known.
    pretrained = name.startswith("efficientnet_lite")
    made = make(name, folder, **({"weights": "imagenet"} if pretrained else {}))
    sample = [picture(seed, 80, 80) for seed in range(24)]
    if not pretrained:
        settle(made, sample)
    summary = build_bundle(tmp_path / "encoder", made, map(Example, sample), BundleRecipe("some", dim=None))
    assert summary.dim == FEATURES[name]
    assert np.isfinite(summary.agreement)
    if name != "mobilenet_v2":
        assert summary.agreement >= 0.95


@pytest.mark.parametrize("pooling", ["max", "gem"])
@pytest.mark.parametrize("name", ["residual", "mobilenet_v2"])
def test_other_poolings(name, pooling, folder):
    shape = make(name, folder, pooling=pooling).network.output_shape
    assert shape == ((None, 2, 2, FEATURES[name]) if pooling == "gem" else (None, FEATURES[name]))


def test_a_vector_is_not_pooled_again():
    with pytest.raises(LookalikeError, match=r"Received: \(None, 512\) from baseline"):
        backbone("baseline", "gem")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline", "mobilenet_v2"])
def test_weights_are_loaded_from_a_file(name, folder, tmp_path):
    made = make(name, folder, seed=7)
    made.network.save_weights(tmp_path / "some.weights.h5")
    loaded = make(name, folder, weights=str(tmp_path / "some.weights.h5"))
    assert loaded.pretrained
    x = inputs(made.network)
    np.testing.assert_allclose(loaded.network(x), made.network(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "some.weights.h5"
    backbone("baseline", size=32).network.save_weights(path)
    with pytest.raises(LookalikeError, match="Expected the weights of residual without its top"):
        backbone("residual", weights=str(path))
    with pytest.raises(LookalikeError, match="no file"):
        backbone("residual", weights=str(tmp_path / "other.weights.h5"))
    with pytest.raises(LookalikeError, match=r"ends in \.weights\.h5"):
        backbone("residual", weights=__file__)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet51", {}, "did you mean ResNet50"),
        ("mobilenet_v2", {}, "imagenet to download them, or none for random ones"),
        ("baseline", {"weights": "imagenet"}, "no published weights for baseline"),
        ("baseline", {"size": 16}, "22 pixels or more for the baseline. Received: 16"),
        ("baseline", {"layer": "dense"}, "a layer only for"),
        ("baseline", {"preprocessing": "decode|resize(20,30)"}, "square pictures"),
        ("baseline", {"preprocessing": "decode|resize(30,30)", "size": 32}, "a spec for 32 pixels"),
        ("model.keras", {}, "Expected a preprocessing spec"),
        ("model.keras", {"preprocessing": "decode|resize(30,30)"}, "no file model.keras"),
        ("mobilenet_v2", {"weights": "none", "size": 8}, "cannot be built for 8 pixels"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(name, options, says):
    with pytest.raises(LookalikeError, match=says):
        backbone(name, **options)


def test_a_spec_of_ones_own_sets_the_size():
    made = backbone("baseline", preprocessing="decode|pad_square|resize(40,40)|normalize(0,255)")
    assert made.network.input_shape == (None, 40, 40, 3)
    assert made.preprocessing.startswith("decode|pad_square")


def test_a_download_that_fails_is_told_in_a_sentence(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example: no route to host")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", fail)
    with pytest.raises(LookalikeError, match=r"could not be downloaded: URL fetch failure.*Give a file"):
        backbone("mobilenet_v2", weights="imagenet", size=96)


def test_own_networks_are_listed():
    assert available() == [
        "baseline",
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
        "residual",
    ]
    assert applications.find("mobilenet_v2") == applications.find("MOBILENETV2") == "MobileNetV2"
    assert applications.find("efficientnet_lite9") is None
