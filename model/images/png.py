"""PNG by libpng, which is given the chunks that hold pixels and no others.

A text chunk may claim 2 GiB, or inflate to one; a colour profile too. What is not pixels is left out, so that a PNG
takes the memory of its pixels. Times of 400 x 534: libpng by imagecodecs 3.6 ms, TensorFlow 4.6, Pillow 5.4, which
has no colour deeper than 8 bits.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from .. import imports
from ..errors import ImageError
from . import exif, formats
from .levels import AnyWindow, PercentileWindow

_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_GREY, _RGB, _PALETTE, _GREY_ALPHA = 0, 2, 3, 4
_FULL_WINDOW = 0x78
"""First byte of zlib data: deflate, distances up to 32 KiB."""
_BAND = 1 << 20
"""Pixels that become levels at once."""


class Parts(NamedTuple):
    """What of a PNG file is used.

    Attributes:
        width, height: as stored.
        orientation: EXIF, 1 to 8.
        pixels: a PNG file of the chunks that hold pixels.
    """

    width: int
    height: int
    orientation: int
    pixels: bytes


def parts(data: bytes) -> Parts:
    """Walk the chunks (ISO/IEC 15948, 5.3), and keep those that pixels are made of.

    Raises:
        ImageError: there is no header, no pixels, or before them a chunk that nobody may skip and we do not know.
    """
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        raise ImageError("PNG cut short or corrupt: no header")
    depth, colours = data[24], data[25]
    before: list[bytes] = [data[:33]]
    palette = orientation = first = last = 0
    transparent = False
    at, kind = 33, b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise ImageError("PNG cut short or corrupt: it ends too early")
        kind, length, start = data[at + 4 : at + 8], _number(data[at : at + 4]), at
        at += 12 + length
        if kind == b"IDAT":
            if not first or last == start:  # what follows after a gap is not read by libpng either
                first, last = first or start, at
        elif kind == b"eXIf":
            orientation = orientation or exif.orientation(data[start + 8 : at - 4])
        elif first:
            continue
        elif kind == b"PLTE" and colours == _PALETTE and not palette:  # of true colour it is a suggestion
            palette = min(length // 3, 1 << depth)
            before.append(data[start:at])
        elif kind == b"tRNS":
            # As libpng takes it: once, behind the palette, of the right length and checksum.
            right = {_GREY: length == 2, _RGB: length == 6, _PALETTE: 1 <= length <= palette}
            chunk = data[start:at] if right.get(colours) and not transparent else b""
            if chunk and zlib.crc32(chunk[4:-4]) == _number(chunk[-4:]):
                transparent = True
                before.append(chunk)
        elif kind == b"CgBI":
            raise ImageError("PNG in Apple's own variant (CgBI), which is not supported")
        elif kind not in (b"PLTE", b"IEND") and kind[0] < ord("a"):  # a capital: it may not be skipped
            raise ImageError(f"PNG cut short or corrupt: an unknown chunk {kind!r}")
    if not first or at > len(data):
        raise ImageError("PNG cut short or corrupt: no pixels")
    if colours == _PALETTE and not palette:
        raise ImageError("PNG cut short or corrupt: no palette")
    width, height = _number(data[16:20]), _number(data[20:24])
    pixels = _with_full_window(memoryview(data)[first:last])
    return Parts(width, height, orientation or 1, b"".join([*before, *pixels, _END]))


def _with_full_window(chunks: memoryview) -> list[bytes | memoryview]:
    """The IDAT chunks, in parts, of which the first promises no less than 32 KiB between what is alike.

    Writers have promised less than they kept to (RFC 1950, 2.2); browsers do not believe it either.
    """
    length = _number(chunks[:4])
    if length < 2 or chunks[8] == _FULL_WINDOW or chunks[8] & 15 != 8:
        return [chunks]
    first, rest = chunks[8 : 8 + length], chunks[12 + length :]
    if zlib.crc32(chunks[4 : 8 + length]) != _number(chunks[8 + length : 12 + length]):
        return [chunks]
    level = first[1] & 0xC0
    head = b"IDAT" + bytes((_FULL_WINDOW, level + -(_FULL_WINDOW << 8 | level) % 31))
    return [chunks[:4], head, first[2:], zlib.crc32(first[2:], zlib.crc32(head)).to_bytes(4, "big"), rest]


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode PNG of any kind, of an animated one the still picture: upright RGB, uint8 (height, width, 3)."""
    found = parts(data)
    formats.check_size(found.width, found.height, max_pixels)
    samples = imports.codec("png_decode")(found.pixels)
    return exif.upright(_levels(samples, window), found.orientation)


def is_bloated(data: bytes) -> bool:
    """Whether a file is far larger than its pixels, so that it may go on inflating for minutes behind them."""
    if len(data) < 33:
        return False
    channels = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2}.get(data[25], 4)
    width, height = _number(data[16:20]), _number(data[20:24])
    return len(data) > 2 * height * (1 + width * channels * data[24] // 8) + (1 << 16)


def _number(four: bytes | memoryview) -> int:
    return int.from_bytes(four, "big")


def _levels(samples: np.ndarray, window: AnyWindow | None) -> np.ndarray:
    """Samples (height, width) or (height, width, 2, 3 or 4) to RGB on white, uint8 (height, width, 3)."""
    if isinstance(window, PercentileWindow):  # which has to see the whole picture
        return formats.on_white_8_bit(samples, window)
    if samples.dtype == np.uint8 and samples.shape[2:] == (3,) and not window:
        return samples
    levels = np.empty((*samples.shape[:2], 3), np.uint8)
    rows = max(1, _BAND // samples.shape[1])
    for top in range(0, len(samples), rows):
        levels[top : top + rows] = formats.on_white_8_bit(samples[top : top + rows], window)
    return levels
