"""The networks of `keras.applications`: each family's own scaling of pixels, and what the published files need."""

import importlib

import keras
import numpy as np
import pytest

from lookalike.model.images.preprocess import parse_spec
from lookalike.model.networks import applications, backbone

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3)).astype(np.float32)


@pytest.mark.parametrize("name", applications.available())
def test_the_spec_scales_as_keras_does(name):
    family = applications._family(name)
    theirs = importlib.import_module(f"keras.applications.{family}").preprocess_input(PIXELS.copy())
    ours = parse_spec(applications.spec(name, applications.default_size(name))).normalize(PIXELS)
    if applications.FAMILIES[family] == "caffe":
        ours = ours[..., ::-1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_every_family_has_a_scaling():
    assert {applications._family(name) for name in applications.available()} == set(applications.FAMILIES)


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small"])
def test_a_family_without_scaling_in_the_spec_has_it_inside(name):
    network = applications.build(name, "none", 32, "avg")
    assert any(isinstance(layer, keras.layers.Rescaling) for layer in network.layers[:4])


def test_weights_for_bgr_give_the_same_on_rgb(tmp_path):
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    theirs.save_weights(tmp_path / "vgg.weights.h5")
    ours = backbone("vgg16", weights=str(tmp_path / "vgg.weights.h5"), size=32)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = theirs(keras.applications.vgg16.preprocess_input(pixels.copy()))
    found = ours.network(parse_spec(ours.preprocessing).normalize(pixels))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_efficientnets_files_with_deviations_for_variances_are_mended(tmp_path):
    theirs = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg"
    )
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    scaling = next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization))
    scaling.set_weights([mean, std, np.int64(0)])
    theirs.save_weights(tmp_path / "b0.weights.h5")
    network = backbone("EfficientNetB0", weights=str(tmp_path / "b0.weights.h5"), size=32).network
    ours = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(x), (x - mean) / std, rtol=1e-4, atol=1e-5)
