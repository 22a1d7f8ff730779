"""Explanations are drawn whatever the numbers and names are like. How they look was seen by eye."""

import io

import numpy as np
import PIL.Image
import pytest

from lookalike.explain.drawing import drawn
from lookalike.model.explaining.explainer import Explanation

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3)).astype(np.uint8)


def explanation(pairs: np.ndarray | None) -> Explanation:
    maps = (np.ones((2, 3)), -np.ones((2, 3))) if pairs is None else (pairs.sum((2, 3)), pairs.sum((0, 1)))
    return Explanation(*PIXELS, 0.5, *maps, pairs)


def sharing(scale: float) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 3, 2, 3)) * scale


def size(data: bytes) -> tuple[int, int]:
    return PIL.Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize(
    "pairs",
    [None, sharing(1), np.zeros((2, 3, 2, 3)), -np.abs(sharing(1e-12))],
    ids=["covered", "shared", "nothing", "all against"],
)
def test_every_explanation_is_drawn_in_one_size(pairs):
    assert size(drawn(explanation(pairs), "$q_1^ {", "a\x1b[31m\n" * 80, dpi=40)) == (272, 304)


def test_the_same_explanation_is_drawn_in_the_same_bytes():
    once, again = (drawn(explanation(sharing(1)), "a", "b", dpi=40) for _ in range(2))
    assert once == again
    jpeg = drawn(explanation(sharing(1)), "a", "b", dpi=40, picture_format="jpeg")
    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg == drawn(explanation(sharing(1)), "a", "b", dpi=40, picture_format="jpeg")
