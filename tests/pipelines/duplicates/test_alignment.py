from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.duplicates.alignment import SIDE, UNLIKE, Look, correlation, thumbnail
from lookalike.duplicates.copies import KINDS
from lookalike.model.images.decode import decode
from tests.support.drawn import drawn


def look(pixels: np.ndarray) -> Look:
    return Look.of(thumbnail(pixels))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_agrees_with_its_picture(kind) -> None:
    for seed in range(8):
        pixels = drawn(seed, 360, 300)
        copy = decode(KINDS[kind](pixels, np.random.default_rng(seed))).pixels
        assert correlation(look(pixels), look(copy)) > 0.93


def test_another_picture_does_not() -> None:
    looks = [look(drawn(seed, 360, 300)) for seed in range(12)]
    assert max(correlation(a, b) for i, a in enumerate(looks) for b in looks[:i]) < 0.7


def test_one_that_is_squeezed_to_a_square_agrees() -> None:
    pixels = drawn(1, 360, 240)
    assert correlation(look(pixels), look(cv2.resize(pixels, (300, 300)))) > 0.93


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_thumbnail_keeps_the_shape_as_well_as_it_can(width, height) -> None:
    small = thumbnail(np.zeros((height, width, 3), np.uint8))
    assert max(small.shape) == SIDE
    assert min(small.shape) >= 4


def test_pictures_of_one_colour_are_alike_if_their_light_is() -> None:
    white, also_white, black = (look(np.full((60, 80, 3), level, np.uint8)) for level in (255, 254, 0))
    assert correlation(white, also_white) == 1
    assert correlation(white, black) == UNLIKE
    assert correlation(white, look(drawn(1))) == correlation(look(drawn(1)), white) == UNLIKE


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_any_two_pictures_can_be_compared(width, height, seed) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert -1 <= correlation(look(noise), look(drawn(seed))) <= 1
