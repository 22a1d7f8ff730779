"""Parts of pictures: what a box covers is preprocessed as if it had been saved as a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.boxes import Box, PartOfImage
from lookalike.model.images.decode import decode
from lookalike.model.images.preprocess import parse_spec
from tests.conftest import SPEC, picture

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def saved(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(1, 2, 3, 4), slice(2, 4), slice(1, 3)),
        (Box(0, 0, 6, 4), slice(None), slice(None)),
        (Box(-5, -5, 1, 1), slice(0, 1), slice(0, 1)),
        (Box(5, 3, 1000, 1000), slice(3, 4), slice(5, 6)),
    ],
)
def test_a_box_is_clipped_to_the_picture(box: Box, rows: slice, columns: slice) -> None:
    np.testing.assert_array_equal(box.cut_from(PIXELS), PIXELS[rows, columns])


@pytest.mark.parametrize("box", [Box(6, 0, 8, 2), Box(0, -3, 2, 0), Box(2, 2, 2, 3), Box(3, 1, 2, 2)])
def test_a_box_that_covers_nothing_is_refused(box: Box) -> None:
    with pytest.raises(
        ImageError, match=r"expected a box within the picture of 6 x 4 pixels\. Received: one from"
    ):
        box.cut_from(PIXELS)


@pytest.mark.parametrize("form", [".jpg", ".png"])
@pytest.mark.parametrize(
    "spec", [SPEC, "decode|window(100,90)|resize(20,30)", "decode|pad_square|resize(16,16)"]
)
def test_a_part_is_read_to_the_bit_as_the_same_part_saved_without_loss(form: str, spec: str) -> None:
    data = picture(3, 400, 300, form)
    box = Box(31, 17, 290, 222)
    whole = decode(data).pixels
    preprocess = parse_spec(spec)
    part, width, height = preprocess.pixels(PartOfImage(data, box))
    np.testing.assert_array_equal(part, preprocess.pixels(saved(whole[17:222, 31:290]))[0])
    assert (width, height) == (400, 300)
