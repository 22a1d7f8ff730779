"""BMP: every header, depth, mask and compression that Windows and OS/2 wrote.

Own code, since none of the libraries at hand reads all of them: Pillow knows few masks and reads RLE4 wrongly,
TensorFlow returns the indices of a palette as if they were grey levels, OpenCV fills in what is missing.

Source: Microsoft, "Bitmap storage" (BITMAPINFOHEADER, BITMAPV5HEADER); where it is silent, what browsers show of
Jason Summers' bmpsuite.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from ..errors import ImageError
from . import formats
from .levels import AnyWindow

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = 0, 1, 2, 3, 4, 5, 6
_NAMES = {_JPEG: "JPEG", _PNG: "PNG", 11: "CMYK", 12: "CMYK RLE8", 13: "CMYK RLE4"}
_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
"""Of red, green, blue and alpha, where the file gives none."""
_BAND = 1 << 20
"""Pixels that become colours at once."""


class Header(NamedTuple):
    """What a BMP file says of its pixels.

    Attributes:
        width, height: of the picture.
        top_down: whether the first row is the uppermost.
        bits: of a pixel.
        compression: one of the constants above.
        masks: which bits of a pixel are red, green, blue and alpha.
        palette: uint8 (colours, 3), RGB.
        pixels: where they begin in the file.
    """

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    masks: tuple[int, ...]
    palette: np.ndarray
    pixels: int


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode BMP: RGB on white, uint8 (height, width, 3)."""
    head = header(data)
    formats.check_size(head.width, head.height, max_pixels)
    if head.compression in (_RLE8, _RLE4):
        pixels = head.palette[_run_lengths(data[head.pixels :], head)]
    elif head.bits <= 8:
        pixels = head.palette[_indices(_rows(data, head), head)]
    elif head.bits == 24:
        pixels = _rows(data, head)[:, : 3 * head.width].reshape(head.height, head.width, 3)[..., ::-1]
    else:
        pixels = _masked(_rows(data, head), head)
    pixels = pixels if head.top_down else pixels[::-1]
    return np.ascontiguousarray(window.apply(pixels) if window else pixels)


def header(data: bytes) -> Header:
    """Read the headers of any age.

    Raises:
        ImageError: a variant that is not read, by its name.
        struct.error: cut short.
    """
    (pixels,) = struct.unpack_from("<I", data, 10)
    (size,) = struct.unpack_from("<I", data, 14)
    compression = colours = 0
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        if size >= 40:
            (compression,) = struct.unpack_from("<I", data, 30)
            (colours,) = struct.unpack_from("<I", data, 46)
    if size == 64 and compression in (3, 4):  # OS/2 counts otherwise
        raise ImageError("a BMP of OS/2 with Huffman or RLE24 compression, which is not supported")
    if compression in _NAMES:
        raise ImageError(f"a BMP with {_NAMES[compression]} inside, which is not supported")
    known = {
        _RGB: (1, 2, 4, 8, 16, 24, 32),
        _RLE8: (8,),
        _RLE4: (4,),
        _BITFIELDS: (16, 32),
        _ALPHABITFIELDS: (16, 32),
    }
    if bits not in known.get(compression, ()):
        raise ImageError(f"a BMP of {bits} bits and compression {compression}, which is not supported")
    after = 14 + size
    masks = _MASKS.get(bits, (0, 0, 0, 0))
    if compression in (_BITFIELDS, _ALPHABITFIELDS):
        # Since version 2 of the header the masks are part of it, since version 3 that of alpha too.
        count = 4 if size >= 56 or compression == _ALPHABITFIELDS else 3
        masks = (*struct.unpack_from(f"<{count}I", data, 54), 0)[:4]
        after = max(after, 54 + 4 * count)
    entry = 3 if size == 12 else 4
    if not pixels:  # some writers leave it to the reader, as browsers do
        pixels = after + entry * (min(colours or 1 << bits, 256) if bits <= 8 else colours)
    palette = _palette(data, after, bits, colours, entry, pixels)
    return Header(
        width,
        abs(height),
        height < 0,
        bits,
        compression,
        masks,
        palette,
        pixels,
    )


def _palette(data: bytes, start: int, bits: int, colours: int, width: int, end: int) -> np.ndarray:
    """uint8 (256, 3), RGB, black where the file has no colour; none of more than 8 bits."""
    if bits > 8:
        return np.empty((0, 3), np.uint8)
    count = min(colours or 1 << bits, 256, max(0, end - start) // width or 256)
    given = np.frombuffer(data, np.uint8, count * width, start).reshape(count, width)
    palette = np.zeros((256, 3), np.uint8)
    palette[:count] = given[:, 2::-1]
    return palette


def _rows(data: bytes, head: Header) -> np.ndarray:
    """Bytes of each row, padded to four: uint8 (height, bytes)."""
    width = (head.width * head.bits + 31) // 32 * 4
    needed = width * head.height
    found = data
    missing = head.pixels + needed - len(data)
    if (
        missing > width - (head.width * head.bits + 7) // 8
    ):  # of the last row some writers leave the padding out
        raise ImageError("BMP cut short or corrupt: it ends before its pixels")
    if missing > 0:
        found = data + bytes(missing)
    return np.frombuffer(found, np.uint8, needed, head.pixels).reshape(head.height, width)


def _indices(rows: np.ndarray, head: Header) -> np.ndarray:
    """uint8 (height, width) of pixels of 1, 2, 4 or 8 bits, the first in the highest bits."""
    if head.bits == 8:
        return rows[:, : head.width]
    shifts = np.arange(8 - head.bits, -1, -head.bits, dtype=np.uint8)
    apart = (rows[..., None] >> shifts) & ((1 << head.bits) - 1)
    return apart.reshape(head.height, -1)[:, : head.width]


def _masked(rows: np.ndarray, head: Header) -> np.ndarray:
    """RGB of pixels of 16 or 32 bits by their masks."""
    values = rows.view("<u2" if head.bits == 16 else "<u4")[:, : head.width]
    pixels = np.empty((*values.shape, 3), np.uint8)
    bands = [
        slice(top, top + 1 + _BAND // head.width) for top in range(0, head.height, 1 + _BAND // head.width)
    ]
    # Writers that know nothing of alpha leave it 0.
    has_alpha = any(_channel(values[band], head.masks[3]).any() for band in bands)
    for band in bands:
        channels = np.stack([_channel(values[band], mask) for mask in head.masks], axis=-1)
        pixels[band] = formats.on_white(channels) if has_alpha else channels[..., :3]
    return pixels


def _channel(values: np.ndarray, mask: int) -> np.ndarray:
    """The bits of `mask`, scaled to 0..255."""
    if not mask:
        return np.zeros(values.shape, np.uint8)
    low = (mask & -mask).bit_length() - 1
    most = mask >> low
    if most & (most + 1):
        raise ImageError(f"BMP cut short or corrupt: the mask {mask:#x} has gaps")
    part = (values & values.dtype.type(mask & (2 ** (8 * values.itemsize) - 1))) >> low
    return ((part.astype(np.uint64) * 255 + most // 2) // most).astype(np.uint8)


def _run_lengths(data: bytes, head: Header) -> np.ndarray:
    """Indices (height, width) of RLE8 or RLE4, 0 where the runs leave pixels out.

    Raises:
        ImageError: the data ends before the end of the picture.
    """
    width, height = head.width, head.height
    indices = np.zeros((height, width), np.uint8)
    x = y = at = 0
    nibbles = head.compression == _RLE4
    while y < height:
        if at + 2 > len(data):
            if y == height - 1 and x >= width:  # only the mark of the end is missing
                break
            raise ImageError("BMP cut short or corrupt: it ends before its pixels")
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = np.array((value >> 4, value & 15) if nibbles else (value,), np.uint8)
            run = np.resize(run, count)
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            break
        elif value == 2:
            if at + 2 > len(data):
                continue  # told above
            x, y = x + data[at], y + data[at + 1]
            at += 2
            continue
        else:
            length = (value + 1) // 2 if nibbles else value
            run = np.frombuffer(data[at : at + length], np.uint8)
            if nibbles:
                run = np.stack((run >> 4, run & 15), axis=-1).ravel()
            run = run[:value]
            at += length + length % 2
        # What is longer than the row is cut.
        indices[y, x : x + len(run)] = run[: max(0, width - x)]
        x += len(run)
    return indices
