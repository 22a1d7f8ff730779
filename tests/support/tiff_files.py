"""TIFF files: of every compression and layout by tifffile, and put together tag by tag for what no library writes."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import tifffile

NOISE = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
COMPRESSIONS = (
    "none",
    "lzw",
    "adobe_deflate",
    "packbits",
    "zstd",
    "lzma",
    "webp",
    "jpegxl",
    "jpeg2000",
    "png",
    "lerc",
)
LAYOUTS = [{"rowsperstrip": 64}, {"rowsperstrip": 20}, {"tile": (32, 32)}]
_SHORT, _LONG, _RATIONAL = 3, 4, 5


def tiff(
    width: int,
    height: int,
    segments: Sequence[bytes],
    tags: Mapping[int, object] | None = None,
    *,
    bits: int = 8,
    samples: int = 1,
    photometric: int | None = 1,
    compression: int = 1,
    rows: int | None = None,
    order: str = "<",
) -> bytes:
    """A file of one page.

    Args:
        segments: the strips, or the tiles if `tags` says how large they are.
        tags: more tags, or others instead of those here: number -> integers, or None to leave it out. A list of
            pairs is one of fractions.
    """
    tiled = bool(tags and 322 in tags)
    every: dict[int, object] = {
        **{256: [width], 257: [height], 258: [bits] * samples, 259: [compression], 277: [samples]},
        **({262: [photometric]} if photometric is not None else {}),
        **({} if tiled else {278: [rows or height]}),
        (324 if tiled else 273): [0] * len(segments),
        (325 if tiled else 279): [len(segment) for segment in segments],
        **(tags or {}),
    }
    every = {tag: value for tag, value in sorted(every.items()) if value is not None}
    lists, entries, place = b"", b"", 8 + 2 + 12 * len(every) + 4
    sizes = {tag: _packed(value, order) for tag, value in every.items()}
    start = place + sum(len(data) for _, _, data in sizes.values() if len(data) > 4)
    offsets = [start + sum(len(s) for s in segments[:i]) for i in range(len(segments))]
    where = 324 if tiled else 273
    if where not in (tags or {}):
        sizes[where] = _packed(offsets, order)
    for tag, (kind, count, data) in sizes.items():
        inline = len(data) <= 4
        value = data.ljust(4, b"\0") if inline else struct.pack(order + "I", place + len(lists))
        lists += b"" if inline else data
        entries += struct.pack(order + "HHI", tag, kind, count) + value
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(every))
    return b"".join([head, entries, bytes(4), lists, *segments])


def _packed(values: object, order: str) -> tuple[int, int, bytes]:
    """Type, count and bytes of a tag's values."""
    assert isinstance(values, list)
    if values and isinstance(values[0], tuple):
        numbers = [number for fraction in values for number in fraction]
        return _RATIONAL, len(values), struct.pack(f"{order}{len(numbers)}I", *numbers)
    short = all(value < 65536 for value in values) and len(values) < 3
    kind = _SHORT if short else _LONG
    return kind, len(values), struct.pack(f"{order}{len(values)}{'H' if short else 'I'}", *values)


def packed(samples: np.ndarray, bits: int) -> bytes:
    """Rows of samples of so many bits each, highest bit first, each row from a new byte on."""
    places = np.arange(bits - 1, -1, -1)
    rows = ((samples.reshape(len(samples), -1, 1).astype(np.uint64) >> places.astype(np.uint64)) & 1).astype(
        np.uint8
    )
    return np.packbits(rows.reshape(len(samples), -1), axis=1).tobytes()


def written(compression: str, **options: object) -> bytes:
    """`NOISE` by tifffile."""
    stream = io.BytesIO()
    kind = None if compression == "none" else compression
    tifffile.imwrite(stream, NOISE, photometric="rgb", compression=kind, metadata=None, **options)
    return stream.getvalue()


def places(data: bytes) -> list[tuple[int, int]]:
    """Offset and length of each strip or tile."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return list(zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True))
