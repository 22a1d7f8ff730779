"""A score explained by covering places: for a network whose score is no sum over places.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2. Covered here
means blurred beyond recognition: a grey square is a thing of its own, which networks see.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

CELLS = 8
"""Rows, and columns, of the places that are covered."""
_BLUR = 1 / 8
"""Standard deviation, in sides of the picture."""

ScoreOf = Callable[[np.ndarray], np.ndarray]
"""Pictures uint8 (n, height, width, 3) to their scores with one other picture, (n,)."""


def occlusion_map(pixels: np.ndarray, score_of: ScoreOf, cells: int = CELLS) -> np.ndarray:
    """By how much the score falls where a place is covered; below 0 where it rises.

    Args:
        pixels: of the picture, uint8 (height, width, 3).
        score_of: its score with the other picture.
        cells: rows and columns.

    Returns:
        float64 (cells, cells). Their sum is not the score.
    """
    cover = blurred(pixels)
    each = np.eye(cells * cells, dtype=bool).reshape(-1, cells, cells)
    covered = np.stack([replaced(pixels, cover, chosen) for chosen in each])
    whole, *without = score_of(np.concatenate([pixels[None], covered])).astype(np.float64)
    return whole - np.array(without).reshape(cells, cells)


def blurred(pixels: np.ndarray) -> np.ndarray:
    """A picture without anything to be recognised, but with its colours."""
    return cv2.GaussianBlur(pixels, (0, 0), _BLUR * max(pixels.shape[:2]), borderType=cv2.BORDER_REFLECT)


def replaced(pixels: np.ndarray, other: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """A picture with some of its places from another.

    One goes over into the other gradually, from the middle of a place to the middle of the next: a sharp edge is a
    thing of its own, too.

    Args:
        pixels, other: uint8 (height, width, 3).
        chosen: bool (rows, columns), the places that are taken from `other`.
    """
    height, width = pixels.shape[:2]
    share = cv2.resize(chosen.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.rint(pixels * (1 - share) + other * share).astype(np.uint8)
