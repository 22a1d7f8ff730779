"""The samples of a TIFF page, from its strips or tiles; each must lie within the file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ImageError
from .codestreams import jpeg_frame
from .tiff_codecs import Segment, bytes_of, decoder, from_jpeg, rows_of

_SMALL = 4096**2
"""Pixels that a tile may have however small the picture is."""


def read_samples(data: bytes, page: Any, channels: int) -> np.ndarray:
    """The first `channels` samples of each pixel.

    Args:
        data: the file, whole.
        page: a `tifffile.TiffPage` whose size has been checked.
        channels: at most the samples that a pixel has.

    Returns:
        (height, width, channels) in the page's own type, native byte order; bool of 1 bit. Of a volume, the first
        slice. Of a page that is one uncompressed strip, a view of `data`.

    Raises:
        ImageError: the samples are not all there, or stored in a way that is not read.
    """
    height, width, dtype = page.imagelength, page.imagewidth, _dtype(page)
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    inside = 1 if separate else page.samplesperpixel
    old = _whole_jpeg(data, page)
    if old is not None:
        return from_jpeg(old, Segment(0, 0, 0, 0, height, width, height, width), page, inside)[..., :channels]
    decode = decoder(page, inside, dtype)
    samples: np.ndarray | None = None
    for segment in _segments(page, inside, channels if separate else 1, dtype):
        block = decode(_stored(data, page, segment, inside), segment)[: segment.height, : segment.width]
        if (segment.height, segment.width, block.shape[2]) == (height, width, page.samplesperpixel):
            return block[..., :channels]
        if samples is None:
            samples = np.empty((channels, height, width) if separate else (height, width, channels), dtype)
        rows = slice(segment.top, segment.top + segment.height)
        columns = slice(segment.left, segment.left + segment.width)
        if separate:
            samples[segment.plane, rows, columns] = block[..., 0]
        else:
            samples[rows, columns] = block[..., :channels]
    assert samples is not None
    return samples.transpose(1, 2, 0) if separate else samples


def _segments(page: Any, inside: int, planes: int, dtype: np.dtype) -> Iterator[Segment]:
    height, width = page.imagelength, page.imagewidth
    if page.is_tiled:
        full_height, full_width = page.tilelength, page.tilewidth
        if page.tiledepth > 1:
            raise ImageError("TIFF of tiles that are more than one slice deep, which is not supported")
    else:
        full_height, full_width = min(page.rowsperstrip, height), width
    if full_height <= 0 or full_width <= 0:
        raise ImageError(f"TIFF cut short or corrupt: strips or tiles of {full_width} x {full_height} pixels")
    size = full_width * full_height * inside * dtype.itemsize
    if page.compression != 1 and size > 16 * (width * height + _SMALL):
        raise ImageError(
            f"TIFF whose strips or tiles would take {size:,} bytes each, for a picture of {width} x {height} pixels"
        )
    down, across = math.ceil(height / full_height), math.ceil(width / full_width)
    wanted, given = planes * down * across, min(len(page.dataoffsets), len(page.databytecounts))
    if given < wanted:
        raise ImageError(f"TIFF cut short or corrupt: {given:,} strips or tiles where {wanted:,} are needed")
    for plane in range(planes):
        for place in range(down * across):
            top, left = place // across * full_height, place % across * full_width
            yield Segment(
                number=plane * page.imagedepth * down * across + place,
                plane=plane,
                top=top,
                left=left,
                height=min(full_height, height - top),
                width=min(full_width, width - left),
                full_height=full_height,
                full_width=full_width,
            )


def _dtype(page: Any) -> np.dtype:
    if isinstance(page.bitspersample, tuple):
        raise ImageError(f"TIFF of samples of {page.bitspersample} bits, which is not supported")
    if page.dtype is None or page.dtype.kind not in "buif":
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise ImageError(f"TIFF of {page.bitspersample}-bit samples of type {kind}, which is not supported")
    return np.dtype(page.dtype)


def _stored(data: bytes, page: Any, segment: Segment, inside: int) -> memoryview:
    """The segment as it lies in the file."""
    offset, length = page.dataoffsets[segment.number], page.databytecounts[segment.number]
    if page.compression == 1:
        # Only what the picture needs: writers differ on what they say of the last strip.
        length = min(length, bytes_of(page, segment, inside, rows_of(page, segment)))
    if not 0 < offset < offset + length <= len(data):
        raise ImageError(
            f"TIFF cut short or corrupt: {length:,} bytes of a strip or tile at {offset:,} in a file of {len(data):,}"
        )
    return memoryview(data)[offset : offset + length]


def _whole_jpeg(data: bytes, page: Any) -> memoryview | None:
    """Of a page in the first kind of JPEG that TIFF had: the file inside it, if that is the whole picture."""
    if page.compression != 6 or 513 not in page.tags:
        return None
    (start,), (length,) = page.tags.valueof(513), page.tags.valueof(514) or (0,)
    inner = memoryview(data)[start : start + length if length else None]
    frame = jpeg_frame(bytes(inner))
    return inner if frame and (frame.height, frame.width) == (page.imagelength, page.imagewidth) else None
