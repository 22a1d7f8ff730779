"""TIFF's other colours against what Pillow, littleCMS and the specification make of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageCms

from lookalike.model.errors import ImageError
from lookalike.model.images.tiff_colours import by_palette, from_cmyk, from_lab, from_ycbcr
from tests.support.image_files import flag

RAMP = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).reshape(6, 36, 3).astype(np.uint8)
"""All corners and edges of the colours, and what is between."""


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_a_map_of_8_or_of_16_bits_gives_the_same_colours(factor: int) -> None:
    colours = np.array([[0, 10, 250], [255, 20, 240], [128, 30, 230]], np.uint16)
    pixels = by_palette(np.array([[0, 1], [2, 0]], np.uint8), colours * factor)
    assert np.abs(pixels[1, 0].astype(int) - [250, 240, 230]).max() <= 1
    assert np.abs(pixels[0, 1].astype(int) - [10, 20, 30]).max() <= 1
    assert pixels.shape == (2, 2, 3)


def test_an_index_beyond_the_map_and_a_missing_map_are_refused() -> None:
    with pytest.raises(ImageError, match="colour 4 of a map of 4"):
        by_palette(np.array([[4]], np.uint8), np.zeros((3, 4), np.uint16))
    with pytest.raises(ImageError, match="without its colour map"):
        by_palette(np.array([[0]], np.uint8), None)


def test_cmyk_is_what_pillow_makes_of_it() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 4), np.uint8)
    expected = np.asarray(Pil.fromarray(levels, "CMYK").convert("RGB")).astype(int)
    assert np.abs(from_cmyk(levels) - expected).max() <= 1


def test_ycbcr_comes_back_as_the_colours_it_was_made_of() -> None:
    levels = np.asarray(Pil.fromarray(RAMP).convert("YCbCr"))
    assert np.abs(from_ycbcr(levels, None, None).astype(int) - RAMP).max() <= 3
    full = [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]
    rec601 = [299, 1000, 587, 1000, 114, 1000]
    assert np.array_equal(from_ycbcr(levels, rec601, full), from_ycbcr(levels, None, None))


def test_reference_levels_and_coefficients_of_ycbcr_count() -> None:
    video = [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]
    black_and_white = np.array([[[16, 128, 128], [235, 128, 128]]], np.uint8)
    assert from_ycbcr(black_and_white, None, video).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    rec709 = [2126, 10000, 7152, 10000, 722, 10000]
    red = np.array([[[54, 99, 255]]], np.uint8)
    assert np.abs(from_ycbcr(red, rec709, None).astype(int) - [255, 0, 0]).max() <= 2
    with pytest.raises(ImageError, match="cannot be"):
        from_ycbcr(red, [0, 1, 0, 1, 0, 1], None)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("deep", [False, True])
def test_lab_is_what_littlecms_makes_of_it(signed: bool, deep: bool) -> None:
    pixels = np.concatenate([flag()[:, :36], np.repeat(RAMP, 4, axis=0)])
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = np.asarray(ImageCms.applyTransform(Pil.fromarray(pixels), to_lab)).astype(int)
    lab[..., 1:] = (lab[..., 1:] + 128) % 256
    if deep:
        scale = [65535 / 255 if signed else 256, 256, 256]
        zero = 0 if signed else 32768
        lab = np.rint((lab - [0, 128, 128]) * scale).astype(int) + np.array([0, zero, zero])
        stored = (lab % 65536).astype(np.uint16)
    else:
        stored = ((lab - [0, 128, 128]) % 256 if signed else lab).astype(np.uint8)
    difference = np.abs(from_lab(stored, signed).astype(int) - pixels)
    assert difference.mean() < 1.5
    assert difference.max() <= 12


def test_lab_of_floats_is_refused() -> None:
    with pytest.raises(ImageError, match="L\\*a\\*b\\* samples of type float32"):
        from_lab(np.zeros((2, 2, 3), np.float32), True)
