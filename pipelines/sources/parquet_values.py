"""The values of a Parquet column of bytes one at a time, for pages that are too large to be unpacked in memory.

What pyarrow holds of a page is a multiple of it: packed, unpacked, and as values. Here values come from a stream.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import IO, BinaryIO, cast

import numpy as np
import pyarrow as pa

from ..filesystem.naming import temporary_file
from .parquet_pages import DATA, DATA_V2, DICTIONARY, PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, Page

_STREAMED = {"GZIP": "gzip", "ZSTD": "zstd", "BROTLI": "brotli"}
_PIECE = 1 << 20
_MOST_INDICES = 64 << 20
_GROUPS = 4096
_NOTHING = b"nothing"


class RefusedError(Exception):
    """A page that cannot be read in small memory; the message is the reason."""


def check_readable(pages: Sequence[Page], codec: str, max_bytes: int) -> None:
    """Raises RefusedError if `values` cannot read these pages in about twice `max_bytes`."""
    for page in pages:
        large = f"a page of {page.unpacked:,} bytes"
        known = (
            (PLAIN, PLAIN_DICTIONARY)
            if page.kind == DICTIONARY
            else (PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY)
        )
        if (
            page.kind not in (DATA, DATA_V2, DICTIONARY)
            or page.encoding not in known
            or page.level_encoding != RLE
        ):
            raise RefusedError(f"{large}, not as plain values or with a dictionary")
        if codec in ("UNCOMPRESSED", *_STREAMED):
            continue
        if codec != "SNAPPY":
            raise RefusedError(f"{large}, packed by {codec}")
        if page.packed + page.unpacked > 2 * max_bytes:
            raise RefusedError(
                f"{large}, packed by SNAPPY, more than twice what corpus.max_bytes allows: {max_bytes:,}"
            )


class _Section(io.RawIOBase):
    """A part of a file that others read, too."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._place, self._end = file, start, start + size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._place
        self._file.seek(self._place)
        data = self._file.read(left if size < 0 else min(size, left))
        self._place += len(data)
        return data


def values(
    file: BinaryIO, pages: Sequence[Page], codec: str, max_level: int, max_bytes: int
) -> Iterator[bytes | int | None]:
    """Each value of a column that is in no list: its bytes, how many they are if that is above the limit, or None.

    Args:
        file: the Parquet file; its position changes.
        pages: those of a chunk that `check_readable` takes.
        codec: as pyarrow calls the chunk's compression.
        max_level: the definition level of a value that is no null.
        max_bytes: the limit.

    Raises:
        ValueError: for damage.
        OSError: if the file system fails, or what is packed is damaged.
    """
    with temporary_file() as spool:
        places: list[tuple[int, int]] = []
        for page in pages:
            _check_crc(file, page)
            if page.kind == DICTIONARY:
                places = list(_spooled(_plain(_opened(file, page, codec), page.values, max_bytes), spool))
            else:
                yield from _of_page(file, page, codec, max_level, max_bytes, spool, places)


def _check_crc(file: BinaryIO, page: Page) -> None:
    section, crc = _Section(file, page.start, page.packed), 0
    while page.crc is not None and (piece := section.read(_PIECE)):
        crc = zlib.crc32(piece, crc)
    if page.crc not in (None, crc):
        raise ValueError(f"the checksum of the page at byte {page.start} is wrong")


def _opened(file: BinaryIO, page: Page, codec: str) -> IO[bytes]:
    """The content of a page, without the levels of `DATA_V2`, unpacked."""
    section = _Section(file, page.start + page.level_bytes, page.packed - page.level_bytes)
    if codec == "UNCOMPRESSED" or not page.is_packed:
        return cast(IO[bytes], section)
    if codec == "SNAPPY":
        unpacked = pa.decompress(section.read(), page.unpacked - page.level_bytes, codec="snappy")
        return cast(IO[bytes], pa.BufferReader(unpacked))
    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(section, mode="r"), _STREAMED[codec]))


def _of_page(
    file: BinaryIO,
    page: Page,
    codec: str,
    max_level: int,
    max_bytes: int,
    spool: IO[bytes],
    places: Sequence[tuple[int, int]],
) -> Iterator[bytes | int | None]:
    content = _opened(file, page, codec)
    levels: Iterator[int] = repeat(max_level)
    if max_level and page.kind == DATA_V2:
        stored = _Section(file, page.start, page.level_bytes).read()
        levels = _hybrid(stored, max_level.bit_length())
    elif max_level:
        levels = _hybrid(_exactly(content, _length(content)), max_level.bit_length())
    if page.encoding == PLAIN:
        found = _plain(content, page.values, max_bytes)
    else:
        found = _looked_up(content, spool, places, max_bytes)
    count = 0
    for level in islice(levels, page.values):
        value = next(found, _NOTHING) if level == max_level else None
        if value is _NOTHING:
            break
        yield value
        count += 1
    if count != page.values:
        raise ValueError(f"the page at byte {page.start} has fewer values than it says")


def _plain(content: IO[bytes], count: int, max_bytes: int) -> Iterator[bytes | int]:
    for _ in range(count):
        size = _length(content)
        if size <= max_bytes:
            yield _exactly(content, size)
            continue
        left = size
        while left:
            left -= len(_exactly(content, min(left, _PIECE)))
        yield size


def _spooled(found: Iterator[bytes | int], spool: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Writes values; gives where each begins, and its size. What is above the limit begins nowhere, at -1."""
    place = 0
    for value in found:
        if isinstance(value, int):
            yield -1, value
        else:
            spool.write(value)
            yield place, len(value)
            place += len(value)


def _looked_up(
    content: IO[bytes], spool: IO[bytes], places: Sequence[tuple[int, int]], max_bytes: int
) -> Iterator[bytes | int]:
    width = _exactly(content, 1)[0]
    if width > 32:
        raise ValueError("indices of a dictionary of more than 32 bits")
    stored = content.read(_MOST_INDICES)
    for index in _hybrid(stored, width):
        if index >= len(places):
            raise ValueError("an index beyond the dictionary")
        place, size = places[index]
        if place < 0:
            yield size
        else:
            spool.seek(place)
            yield _exactly(spool, size)


def _hybrid(stored: bytes, width: int) -> Iterator[int]:
    """Numbers in Parquet's hybrid of run lengths and packed bits; of the latter perhaps more than were meant."""
    return chain.from_iterable(_runs(stored, width))


def _runs(stored: bytes, width: int) -> Iterator[Iterator[int]]:
    place, of_run = 0, (width + 7) // 8
    while place < len(stored):
        head = shift = 0
        while True:
            if place >= len(stored) or shift > 35:
                raise ValueError("a run of numbers is cut")
            byte = stored[place]
            place += 1
            head |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if head & 1:
            end = place + (head >> 1) * width
            if not width:
                yield repeat(0, (head >> 1) * 8)
            for start in range(place, min(end, len(stored)), _GROUPS * width or 1):
                yield _unpacked(stored[start : min(start + _GROUPS * width, end)], width)
            place = end
        else:
            yield repeat(int.from_bytes(stored[place : place + of_run], "little"), head >> 1)
            place += of_run


def _unpacked(packed: bytes, width: int) -> Iterator[int]:
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    numbers = bits[: len(bits) // width * width].reshape(-1, width)
    return iter((numbers @ (1 << np.arange(width, dtype=np.int64))).tolist())


def _length(content: IO[bytes]) -> int:
    return int.from_bytes(_exactly(content, 4), "little")


def _exactly(content: IO[bytes], size: int) -> bytes:
    data = content.read(size)
    if len(data) != size:
        raise ValueError("a page is cut, or shorter than it says")
    return data
