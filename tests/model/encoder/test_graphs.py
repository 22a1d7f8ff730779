"""A network that reaches outside its graph is refused before it is loaded."""

import numpy as np
import pytest

from lookalike.model.encoder.graphs import check_saved_model, check_tflite
from lookalike.model.errors import LookalikeError


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def test_a_saved_model_that_writes_a_file_is_refused(tf, tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
    def serve(x):
        tf.io.write_file("never-written", "x")
        return x

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "model"))
    with pytest.raises(LookalikeError, match="WriteFile"):
        check_saved_model(tmp_path / "model")


def test_a_saved_model_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 20)
    with pytest.raises(LookalikeError, match="unreadable"):
        check_saved_model(tmp_path)


def test_a_tflite_model_with_a_foreign_operation_is_refused(tf, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
    def foreign(x):
        return tf.raw_ops.Betainc(a=x + 1, b=x + 1, x=x)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([foreign.get_concrete_function()])
    converter.allow_custom_ops = True
    with pytest.raises(LookalikeError, match="Betainc"):
        check_tflite(converter.convert(), tmp_path / "model.tflite")


def test_the_tiny_encoder_is_accepted_in_both_variants(encoder):
    from lookalike.model.encoder.bundle import Encoder

    for variant in ("int8", "float"):
        opened = Encoder.load(encoder, variant=variant)
        height, width = opened.preprocess.height, opened.preprocess.width
        assert opened.encode_pixels(np.zeros((1, 1, height, width, 3), np.uint8)).shape == (1, opened.dim)
