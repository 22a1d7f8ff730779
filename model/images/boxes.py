"""A part of a picture: a rectangle of pixels that is encoded as if it were the whole picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture at full resolution, upright, in whole pixels from its upper left corner.

    Attributes:
        left, top: of its first pixel.
        right, bottom: behind its last one.
    """

    left: int
    top: int
    right: int
    bottom: int

    def cut_from(self, pixels: np.ndarray) -> np.ndarray:
        """The part of a picture, (height, width, 3), that the box covers; what lies outside of the picture is left out.

        Raises:
            ImageError: if nothing is left.
        """
        height, width = pixels.shape[:2]
        left, top = max(self.left, 0), max(self.top, 0)
        right, bottom = min(self.right, width), min(self.bottom, height)
        if right <= left or bottom <= top:
            raise ImageError(
                f"expected a box within the picture of {width} x {height} pixels. Received: one from "
                f"({self.left}, {self.top}) to ({self.right}, {self.bottom})"
            )
        return pixels[top:bottom, left:right]


@dataclass(frozen=True)
class PartOfImage:
    """An encoded image, of which only a part counts."""

    data: bytes
    box: Box

    def __len__(self) -> int:
        return len(self.data)
