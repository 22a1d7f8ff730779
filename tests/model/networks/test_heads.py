import keras
import numpy as np
import pytest
import tensorflow as tf

from lookalike.model.errors import LookalikeError
from lookalike.model.networks.heads import CosineHead, UnitLength

VECTORS = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
ZERO = np.zeros((1, 5), np.float32)
each_layer = pytest.mark.parametrize(
    ("make", "width"),
    [(UnitLength, 5), (lambda **options: CosineHead(7, **options), 7)],
    ids=["unit", "cosine"],
)


@pytest.fixture
def mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_cosines_are_those_of_numpy_whatever_the_lengths():
    head = CosineHead(3)
    found = head(VECTORS * 100).numpy()
    for row, vector in enumerate(VECTORS.astype(np.float64)):
        for column, proxy in enumerate(head.kernel.numpy().T.astype(np.float64)):
            cosine = vector @ proxy / (np.linalg.norm(vector) * np.linalg.norm(proxy))
            assert found[row, column] == pytest.approx(cosine, abs=1e-6)


def test_unit_length_is_that_of_numpy_and_keeps_zeros():
    found = UnitLength()(np.concatenate([VECTORS, ZERO])).numpy()
    np.testing.assert_allclose(
        found[:-1], VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True), rtol=1e-5
    )
    assert not found[-1].any()


@each_layer
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_row_of_zeros_has_a_gradient_of_zero(make, width, jit_compile):
    layer, features = make(), tf.Variable(np.concatenate([ZERO, VECTORS]))
    layer.build(features.shape)

    @tf.function(jit_compile=jit_compile)
    def gradient():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(features))
        return tape.gradient(total, features)

    found = gradient().numpy()
    assert np.isfinite(found).all()
    assert not found[0].any()
    assert found[1:].any(axis=1).all()


@pytest.mark.parametrize("dim", [16, 1280])
def test_class_vectors_start_about_one_long_in_any_dimension(dim):
    head = CosineHead(200)
    head.build((None, dim))
    assert np.linalg.norm(head.kernel.numpy(), axis=0).mean() == pytest.approx(1, abs=0.1)


@each_layer
def test_shapes_and_a_saved_model_that_gives_the_same(make, width, tmp_path):
    features = keras.Input((5,))
    layer = make(name="head")
    model = keras.Model(features, layer(features))
    assert model.output_shape == layer.compute_output_shape((None, 5)) == (None, width)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(VECTORS), model(VECTORS))


@each_layer
def test_mixed_precision_leaves_them_in_float32(make, width, mixed_precision):
    assert make()(VECTORS.astype(np.float16)).dtype == tf.float32


def test_a_head_without_classes_is_refused():
    with pytest.raises(LookalikeError, match=r"at least 1 class. Received: classes=0"):
        CosineHead(0)
