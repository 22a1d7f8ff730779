"""The upper rows of a JPEG: what lies below them is not decoded.

Half of a photograph's time or more goes into its Huffman codes, which have to be read from the top. Below the last row
that is needed they need not be. libjpeg stops there if the frame is given that many rows; it then looks for the end of
the file, and says how much it passed over.
"""

from __future__ import annotations

import math
import re

import numpy as np
import simplejpeg

from .jpeg import Header, is_sequential, segments

_PASSED_OVER = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9")
_BLOCKS = 16
"""Rows of two blocks, by which every reduction divides."""
_LEAST_SAVED = 16
"""One row of so many must be saved: looking for the end of the file, and a copy of it, cost a hundredth."""
_MOST_BYTES = 2
"""Of the file, for each pixel: it is copied."""


def rows_of_middle(height: int, width: int, short: int, crop: int) -> int:
    """How many rows from the top, or from the bottom, decide what is cut out of the middle of a picture.

    Args:
        height, width: of the picture, either way up.
        short: what its shorter side is scaled to, by `geometry.resize`.
        crop: rows that are cut out then.
    """
    scale = min(height, width) / short
    # A pixel is made of what lies less than 1.5 of its own size away, and sizes are rounded.
    return min(height, math.ceil((height + crop * scale) / 2 + 3 * scale + 2))


def decode_top(data: bytes, head: Header, factor: int, rows: int) -> np.ndarray | None:
    """The first `rows` rows as `jpeg.decode` gives them, bit for bit, the others black or as they are there.

    libjpeg tells its first warning only. Where that is that it passed over something, there was none in the rows that
    are needed, and the end of the file is where it should be.

    Args:
        data, head, factor: as for `jpeg.decode`, of a file that is common.
        rows: of the picture as stored at full resolution.

    Returns:
        uint8 (height, width, 3), reduced; None where all of it has to be decoded, or something is wrong with it.
    """
    # Upsampling of chroma looks one row further.
    taken = -(-(rows + 2 * factor) // _BLOCKS) * _BLOCKS
    if taken > head.height - head.height // _LEAST_SAVED or not _is_plain(data, head):
        return None
    height, width = -(-head.height // factor), -(-head.width // factor)
    shorter = bytearray(data)
    at = next(start for marker, start, _ in segments(data) if marker == 0xC0 + head.process)
    shorter[at + 3 : at + 5] = taken.to_bytes(2, "big")
    pixels = np.zeros((height, width, 3), np.uint8)
    top = pixels[: taken // factor]
    try:
        simplejpeg.decode_jpeg(shorter, "RGB", min_height=len(top), min_width=width, buffer=top.reshape(-1))
    except ValueError as error:
        return pixels if _PASSED_OVER.fullmatch(str(error)) else None
    return None  # nothing was passed over, so it has not the rows that it says


def _is_plain(data: bytes, head: Header) -> bool:
    """Whether it is one scan of all components and the end: rows below can be told from what is damaged.

    With restart markers what is passed over may also be damage between two of them.
    """
    if not (
        is_sequential(head)
        and head.components in (1, 3)
        and not head.is_height_late
        and len(data) <= _MOST_BYTES * head.width * head.height
    ):
        return False
    found = {marker: start for marker, start, _ in segments(data)}
    return 0xDD not in found and data[found[0xDA] + 2] == head.components
