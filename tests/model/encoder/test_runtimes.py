"""The runtimes say in one sentence what they cannot load, and load nothing but what was looked at."""

import os

import numpy as np
import pytest

from lookalike.model.encoder.export import _export, _quantise
from lookalike.model.encoder.runtimes import FloatNetwork, Int8Network
from lookalike.model.encoder.tflite_interpreter import Interpreter
from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.model.networks import backbone
from tests.conftest import SPEC

NAMES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


@pytest.fixture
def files(encoder) -> dict[str, bytes]:
    return {name: (encoder / "saved_model" / name).read_bytes() for name in NAMES}


def test_both_know_their_shapes_and_agree(encoder, files):
    spec = parse_spec(SPEC)
    int8 = Int8Network((encoder / "int8.tflite").read_bytes(), encoder, 8)
    float32 = FloatNetwork(files, encoder, 8)
    assert (int8.input_shape, int8.output_shape) == ((8, 32, 32, 3), (8, 32))
    assert (float32.input_shape[1:], float32.output_shape[1:]) == ((32, 32, 3), (32,))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    a, b = int8.run(pixels, spec), float32.run(pixels, spec)
    assert a.shape == b.shape == (3, 32)
    assert (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) > 0.98


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"\0" * 64, lambda data: b""]
)
def test_values_that_cannot_be_read_are_one_sentence(files, name, damage):
    with pytest.raises(LookalikeError, match="TensorFlow cannot load the network x") as error:
        FloatNetwork(files | {name: damage(files[name])}, "x", 8)
    assert "\n" not in str(error.value)


def test_the_copy_that_is_loaded_is_for_this_user_alone_and_then_gone(files, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    import tensorflow as tf

    load, seen = tf.saved_model.load, []

    def looked_at(folder):
        seen.append((os.stat(folder).st_mode & 0o777, sorted(os.listdir(folder))))
        return load(folder)

    monkeypatch.setattr(tf.saved_model, "load", looked_at)
    FloatNetwork(files, "x", 8)
    assert seen == [(0o700, ["saved_model.pb", "variables"])]
    assert os.listdir(tmp_path) == []


def saved(folder, compute, dtype: str) -> dict[str, bytes]:
    """The files of a SavedModel with one function of pictures."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(compute, input_signature=[tf.TensorSpec((None, 32, 32, 3), dtype)])
    tf.saved_model.save(module, str(folder))
    return {name: (folder / name).read_bytes() for name in NAMES}


def twice(x):
    """The picture of each row, two times."""
    import tensorflow as tf

    return tf.repeat(x[:, :, 0, 0], 2, axis=0)


def test_a_float_network_that_gives_other_rows_than_pictures_is_refused(tmp_path):
    files = saved(tmp_path, twice, "float32")
    network = FloatNetwork(files, "x", 8)
    with pytest.raises(ValueError, match=r"8 pictures gave numbers of shape \(16, 32\)"):
        network.run(np.zeros((3, 32, 32, 3), np.uint8), parse_spec(SPEC))


def test_a_float_network_from_whole_numbers_is_refused(tmp_path):
    """TensorFlow would make whole numbers of normalised pixels, most of them 0."""
    import tensorflow as tf

    files = saved(tmp_path, lambda x: tf.cast(x[:, :, 0, 0], tf.float32), "uint8")
    with pytest.raises(LookalikeError, match=r"Expected a network from float32 in x\. Received: uint8"):
        FloatNetwork(files, "x", 8)


def test_an_int8_network_that_gives_other_rows_than_pictures_is_refused(encoder, monkeypatch):
    monkeypatch.setattr(Interpreter, "output_shape", property(lambda _: (16, 32)))
    with pytest.raises(LookalikeError, match=r"from 8 pictures to as many rows in x\. Received: \(16, 32\)"):
        Int8Network((encoder / "int8.tflite").read_bytes(), "x", 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "MobileNetV3Small", "ConvNeXtTiny"])
def test_networks_that_can_be_built_are_accepted_by_both(tmp_path, name):
    network = backbone(name, weights="none", size=64).network
    _export(network, tmp_path)
    spec = parse_spec("decode|resize(64,64)|normalize(127,128)")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    files = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    float32 = FloatNetwork(files, tmp_path, 8).run(pixels, spec)
    np.testing.assert_allclose(float32, network(spec.normalize(pixels)), rtol=1e-3, atol=1e-4)
    assert (
        Int8Network(_quantise(tmp_path, spec, pixels), tmp_path, 8).run(pixels, spec).shape == float32.shape
    )
