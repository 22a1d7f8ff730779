"""Pictures that are easily told from each other."""

from __future__ import annotations

import cv2
import numpy as np


def drawn(seed: int, width: int = 120, height: int = 96) -> np.ndarray:
    """Lines and discs: uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(60, 200, 3), np.uint8)
    for _ in range(14):
        (x, y), (u, v) = rng.integers(0, width, 2).tolist(), rng.integers(0, height, 2).tolist()
        colour = tuple(rng.integers(0, 256, 3).tolist())
        cv2.line(pixels, (x, u), (y, v), colour, int(rng.integers(2, 7)))
        cv2.circle(pixels, (y, u), int(rng.integers(3, 14)), colour, -1)
    return pixels


def as_file(pixels: np.ndarray, form: str = ".png") -> bytes:
    """Pixels as an image file."""
    return cv2.imencode(form, np.ascontiguousarray(pixels))[1].tobytes()
