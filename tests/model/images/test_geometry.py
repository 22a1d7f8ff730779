"""Resizing, cropping and padding, on arrays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pil

from lookalike.model.images import geometry
from tests.support.image_files import photograph


@pytest.mark.parametrize("size", [(1000, 1400), (400, 533), (100, 90)])
def test_resizing_is_close_to_antialiased_bicubic(size: tuple[int, int]) -> None:
    pixels = photograph(*size)
    height, width = geometry.short_side_size(*size, 224)
    expected = np.asarray(Pil.fromarray(pixels).resize((width, height), Pil.BICUBIC)).astype(int)
    result = geometry.resize(pixels, height, width)
    assert result.shape == (height, width, 3)
    assert np.abs(result - expected).mean() < 2


def test_center_crop_takes_the_middle_and_surrounds_what_is_smaller_with_white() -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(geometry.center_crop(image, 3, 3), image[1:4, 2:5])
    larger = geometry.center_crop(image, 7, 3)
    assert np.array_equal(larger[1:6], image[:, 2:5])
    assert (larger[[0, 6]] == 255).all()


def test_pad_square_puts_the_picture_in_the_middle() -> None:
    image = np.full((2, 6, 3), 9, np.uint8)
    padded = geometry.pad_square(image, 7)
    assert padded.shape == (6, 6, 3)
    assert (padded[2:4] == 9).all()
    assert (padded[[0, 1, 4, 5]] == 7).all()


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(600, 400, (336, 224)), (400, 600, (224, 336)), (3, 1000, (224, 74667))]
)
def test_the_shorter_side_decides_the_scale(height: int, width: int, expected: tuple[int, int]) -> None:
    assert geometry.short_side_size(height, width, 224) == expected
