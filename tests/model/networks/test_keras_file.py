"""Keras files of users: cut where they say, and never trusted."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.errors import LookalikeError
from lookalike.model.networks import backbone
from lookalike.model.training.parts import parts

SPEC = "decode|resize(32,32)|normalize(0,255)"


def classifier(side=32, **options):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            layers.Conv2D(4, 3, name="conv"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(6, name="embedding"),
            layers.Dense(2, name="classes"),
        ],
        **options,
    )


@pytest.fixture(params=[".keras", ".h5"])
def path(request, tmp_path) -> str:
    return str(tmp_path / f"model{request.param}")


def test_a_layer_gives_what_it_gives_in_the_whole_network(path):
    model = classifier()
    model.save(path)
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    expected = keras.Model(model.inputs, model.get_layer("embedding").output)(x)
    made = backbone(path, layer="embedding", preprocessing=SPEC)
    np.testing.assert_allclose(made.network(x), expected, rtol=1e-5)
    assert made.preprocessing == SPEC
    assert made.network.name == "model"


def test_a_map_is_pooled(path):
    model = classifier()
    model.save(path)
    assert backbone(path, layer="conv", preprocessing=SPEC).network.output_shape == (None, 4)
    assert backbone(path, "gem", layer="conv", preprocessing=SPEC).network.output_shape == (None, 30, 30, 4)


def test_a_network_for_any_size_takes_that_of_the_spec(path):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, padding="same", name="conv")(image)
    keras.Model(image, keras.layers.GlobalMaxPooling2D(name="pool")(x)).save(path)
    network = backbone(path, layer="pool", preprocessing=SPEC).network
    assert network.input_shape == (None, 32, 32, 3)
    assert network.get_layer("conv").output.shape == (None, 16, 16, 4)


@pytest.mark.slow
def test_a_network_of_kerass_inside_is_dissolved(tmp_path):
    path = str(tmp_path / "model.keras")
    base = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(None, None, 3), alpha=0.35
    )
    base.trainable = False
    model = keras.Sequential(
        [keras.Input((64, 64, 3)), base, keras.layers.GlobalAveragePooling2D(name="pool")]
    )
    model.save(path)
    network = backbone(path, layer="pool", preprocessing="decode|resize(64,64)").network
    assert [part.name for part in parts(network)] == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert len(network.trainable_variables) > 100
    x = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(network(x), model(x), rtol=1e-4, atol=1e-5)


def test_what_stands_before_the_layers_and_between_them_is_kept(tmp_path):
    layers = keras.layers
    path = str(tmp_path / "model.keras")  # .h5 holds no operators

    def tower(name):
        image = keras.Input((32, 32, 3))
        x = layers.Conv2D(3, 3, padding="same", name="conv")(image / 127.5 - 1.0)
        return keras.Model(image, x + keras.ops.relu(x), name=name)

    image = keras.Input((32, 32, 3))
    seen = layers.Normalization(name="seen")
    seen.adapt(np.random.default_rng(0).normal(50, 9, (8, 32, 32, 3)))
    x = layers.Flatten(name="flat")(tower("second")(tower("first")(seen(image))))
    model = keras.Model(image, x)
    model.save(path)
    network = backbone(path, layer="flat", preprocessing=SPEC).network
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(network(pixels), model(pixels), rtol=1e-5)
    network.export(path + "-exported", verbose=False)


def test_names_that_keras_will_not_export_are_changed(tmp_path):
    image = keras.Input((32, 32, 3), name="_image")
    deeper = keras.Sequential([keras.layers.Conv2D(4, 3, name="_conv")], name="deeper")
    inner = keras.Sequential([deeper], name="inner")
    x = keras.layers.Conv2D(4, 3, name="conv")(inner(image))
    keras.Model(image, keras.layers.Flatten(name="_flat")(x)).save(tmp_path / "_names.keras")
    path = str(tmp_path / "_names.keras")
    network = backbone(path, layer="_flat", preprocessing=SPEC).network
    assert [layer.name for layer in network.layers] == ["image", "conv", "conv_2", "flat"]
    network.export(str(tmp_path / "exported"), verbose=False)


def test_a_file_in_half_precision_becomes_a_network_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier()
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "half.keras")
    network = backbone(str(tmp_path / "half.keras"), layer="embedding", preprocessing=SPEC).network
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    expected = keras.Model(model.inputs, model.get_layer("embedding").output)(x)
    np.testing.assert_allclose(network(x), expected, atol=5e-3)


def test_a_layer_that_is_always_in_training_is_refused(path):
    image = keras.Input((32, 32, 3))
    x = keras.layers.Dropout(0.5, name="drop")(image, training=True)
    keras.Model(image, keras.layers.Flatten(name="flat")(x)).save(path)
    with pytest.raises(LookalikeError, match="Received: drop, called with training=True"):
        backbone(path, layer="flat", preprocessing=SPEC)


def test_augmentation_inside_is_left_out(path):
    layers = keras.layers
    flip = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.2)], name="augmentation")
    image = keras.Input((32, 32, 3))
    x = layers.Flatten(name="flat")(flip(image))
    keras.Model(image, x).save(path)
    network = backbone(path, layer="flat", preprocessing=SPEC).network
    pixels = np.random.default_rng(0).random((1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(pixels), pixels.reshape(1, -1))


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("embeding", r"did you mean embedding\? There are: conv \(None, 30, 30, 4\), pool \(None, 4\)"),
        (None, "There are: conv"),
    ],
)
def test_a_wrong_layer_is_answered_with_those_there_are(path, layer, says):
    classifier().save(path)
    with pytest.raises(LookalikeError, match=says):
        backbone(path, layer=layer, preprocessing=SPEC)


def test_another_size_than_the_networks_is_refused(path):
    classifier(40).save(path)
    with pytest.raises(LookalikeError, match=r"40 x 40 pixels\. Received: 32 x 32"):
        backbone(path, layer="pool", preprocessing=SPEC)


def test_a_network_from_something_else_than_a_picture_is_refused(path):
    image = keras.Input((32, 32, 1))
    keras.Model(image, keras.layers.Flatten(name="flat")(image)).save(path)
    with pytest.raises(
        LookalikeError, match=r"\(None, height, width, 3\).*Received: \[\(None, 32, 32, 1\)\]"
    ):
        backbone(path, layer="flat", preprocessing=SPEC)


def test_a_lambda_layer_is_refused_and_not_run(path):
    keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x + 1), keras.layers.Flatten(name="flat")]
    ).save(path)
    with pytest.raises(LookalikeError, match="is refused: it has a Lambda layer"):
        backbone(path, layer="flat", preprocessing=SPEC)


def test_weights_only_and_rubbish_are_refused(tmp_path):
    weights, rubbish = tmp_path / "some.weights.h5", tmp_path / "rubbish.keras"
    classifier().save_weights(weights)
    rubbish.write_bytes(b"rubbish")
    for path in (weights, rubbish):
        with pytest.raises(LookalikeError, match="Expected a whole model in"):
            backbone(str(path), layer="pool", preprocessing=SPEC)


def test_a_class_that_is_not_known_is_refused(path):
    class Mine(keras.layers.Layer):
        def call(self, x):
            return x

    image = keras.Input((32, 32, 3))
    keras.Model(image, Mine(name="mine")(image)).save(path)
    with pytest.raises(LookalikeError, match=r"Expected a whole model in .*'Mine'"):
        backbone(path, layer="mine", preprocessing=SPEC)


def in_keras(path: str, layer: dict) -> None:
    """Puts a layer of somebody else's making into a model's configuration."""
    if path.endswith(".h5"):
        with h5py.File(path, "a") as file:
            model = json.loads(file.attrs["model_config"])
            model["config"]["layers"][1] = layer
            file.attrs["model_config"] = json.dumps(model)
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    model = json.loads(members["config.json"])
    model["config"]["layers"][1] = layer
    members["config.json"] = json.dumps(model).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def of_function(module: str, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    ("module", "kind", "config"),
    [
        ("os", "system", {"command": "touch FILE"}),
        ("keras.layers", "Activation", {"activation": of_function("os", "system")}),
        ("keras.layers", "Lambda", {"function": of_function("keras.utils", "get_file")}),
        ("keras.layers", "TFSMLayer", {"filepath": "FOLDER", "call_endpoint": "serve"}),
        ("keras.layers", "StringLookup", {"vocabulary": "/etc/hostname"}),
        ("keras.src.utils", "function", "enable_unsafe_deserialization"),
    ],
)
def test_a_file_that_reaches_for_code_or_other_files_is_refused(path, tmp_path, module, kind, config):
    """Each has been a way round Keras's safe mode, in one version or another."""
    written = tmp_path / "written"

    def serve(x):
        tf.io.write_file(str(written), "x")
        return x

    network = tf.Module()
    network.serve = tf.function(serve, input_signature=[tf.TensorSpec([None, 32, 32, 3])])
    tf.saved_model.save(network, str(tmp_path / "network"))
    if isinstance(config, dict):
        config = {"name": "x"} | config
        config = json.loads(
            json.dumps(config).replace("FILE", str(written)).replace("FOLDER", str(tmp_path / "network"))
        )
    classifier().save(path)
    in_keras(path, {"module": module, "class_name": kind, "config": config, "registered_name": None})
    with pytest.raises(LookalikeError):
        backbone(path, layer="pool", preprocessing=SPEC)
    assert not written.exists()
