"""EXIF orientation: read from an EXIF block, and undone.

EXIF alone says how a picture is turned; in TIFF, which is what EXIF is written in, the tag of the file itself; in
AVIF and HEIC the boxes `irot` and `imir`, which stand above EXIF. An orientation in XMP (`tiff:Orientation`) counts
in no format: browsers ignore it, and a picture that is found has to look as it does where it is shown.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

_ORIENTATION = 0x0112
_WIDTHS = {1: 1, 3: 2, 4: 4}
"""Bytes of the types BYTE, SHORT and LONG. The standard says SHORT; cameras have written the others."""
TURNED = (5, 6, 7, 8)
"""The orientations in which width and height change places."""


def orientation(block: bytes) -> int:
    """The EXIF orientation, 1 to 8, that a block gives; 1 where it gives none or cannot be read.

    A camera's broken EXIF block is no reason to lose the picture.

    Args:
        block: TIFF structure from its byte order on (Exif 2.32, 4.5.2), or with `Exif` and two bytes before it.
    """
    if block.startswith(b"Exif\0"):
        block = block[6:]
    if not block.startswith((b"II*\0", b"MM\0*")):
        return 1
    order: Literal["little", "big"] = "little" if block.startswith(b"II") else "big"

    def number(at: int, width: int) -> int:
        return int.from_bytes(block[at : at + width], order)

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if entry + 12 > len(block):
            break
        if number(entry, 2) == _ORIENTATION:
            value = number(entry + 8, _WIDTHS.get(number(entry + 2, 2), 0))
            return value if 1 <= value <= 8 else 1
    return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation.

    Args:
        pixels: (height, width, channels), as stored.
        orientation: 1 to 8, as in Exif 2.32, tag 0x0112; anything else counts as 1.

    Returns:
        (height, width, channels) or, for 5 to 8, (width, height, channels); contiguous.
    """
    if orientation in TURNED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
