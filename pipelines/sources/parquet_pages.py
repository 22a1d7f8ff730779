"""The pages of a Parquet file: what each takes unpacked, told before it is.

The format: https://parquet.apache.org/docs/file-format/data-pages/, and parquet.thrift in
https://github.com/apache/parquet-format.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.parquet import damage_named
from .base import MOST_METADATA
from .thrift import CutError, Reader

DATA, DICTIONARY, DATA_V2 = 0, 2, 3
"""Types of pages."""
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
"""Encodings."""
_HEADER, _MOST_HEADER, _MOST_ITEMS = 256, 16 << 20, 1000
_MAGIC = b"PAR1"
_MOST_LEVELS = 100
"""Of columns within columns. pyarrow goes down by recursion: 20,000 levels, of 160 kB, end the process."""
_CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")


@dataclass(frozen=True, slots=True)
class Chunk:
    """The pages of one column of a row group: `size` bytes from `start` on, `values` of them, packed by `codec`."""

    start: int
    size: int
    values: int
    codec: str


@dataclass(frozen=True, slots=True)
class RowGroup:
    """So many rows, and the chunks of their columns."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        kind: `DATA`, `DICTIONARY`, `DATA_V2` or another number.
        start: where its content begins in the file.
        packed, unpacked: bytes of the content.
        crc: CRC-32 of the packed content; None where the file has none.
        values: how many, nulls among them.
        encoding: of the values.
        level_encoding: of the definition levels.
        level_bytes: of `DATA_V2`, what its levels take at the beginning of the content, never packed.
        is_packed: False for values of `DATA_V2` that are stored as they are.
    """

    kind: int
    start: int
    packed: int
    unpacked: int
    crc: int | None
    values: int
    encoding: int
    level_encoding: int = RLE
    level_bytes: int = 0
    is_packed: bool = True


def row_groups_of(file: BinaryIO, size: int) -> list[RowGroup]:
    """What the footer says of where pages lie.

    pyarrow tells as much, but where its check of a column's statistics fails it ends the process.

    Args:
        file: the Parquet file; its position changes.
        size: of the file.

    Raises:
        ValueError: for a footer that is none, of more than `MOST_METADATA`, or of columns that are nested too deeply.
    """
    try:
        fields = Reader(_footer(file, size), MOST_METADATA).struct()
        _check_levels(fields[2])
        return [RowGroup(group[3], tuple(map(_chunk, group[1]))) for group in fields[4]]
    except (AttributeError, KeyError, TypeError, IndexError):
        raise ValueError("the footer is damaged") from None


@contextlib.contextmanager
def open_parquet(path: str) -> Iterator[BinaryIO]:
    """Context in which a Parquet file that others wrote is open, for pyarrow to read.

    Raises:
        LookalikeError: as `damage_named`; also if its columns are nested so deeply that pyarrow could not walk them.
        OSError: if the file system fails.
    """
    with files.open_read(path) as file, damage_named(path):
        try:
            check_schema(file)
        except ValueError as error:
            raise LookalikeError(f"{path} is not a whole Parquet file: {error}") from None
        yield file


def check_schema(file: BinaryIO) -> None:
    """Refuses a file whose columns pyarrow could not walk: to be called before it opens one that others wrote.

    Args:
        file: the Parquet file; read from its beginning afterwards.

    Raises:
        ValueError: for columns that are nested too deeply, or a footer that cannot be read as far as it names them.
    """
    try:
        _check_levels(Reader(_footer(file, file.seek(0, os.SEEK_END)), MOST_METADATA).struct(last=2)[2])
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the footer is damaged") from None
    finally:
        file.seek(0)


def _footer(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - 8))
    end = file.read(8)
    if end[4:] != _MAGIC:
        raise ValueError("no footer: the end mark is missing")
    length = int.from_bytes(end[:4], "little")
    if not 0 < length <= min(size - 8, MOST_METADATA):
        raise ValueError(f"a footer of {length:,} bytes")
    file.seek(size - 8 - length)
    return file.read(length)


def _check_levels(schema: list[dict[int, Any]]) -> None:
    """Of a schema as a list of its elements, each followed by as many as it says to hold."""
    left: list[int] = []
    for element in schema:
        while left and not left[-1]:
            left.pop()
        if left:
            left[-1] -= 1
        left.append(max(0, element.get(5) or 0))
        if len(left) > _MOST_LEVELS:
            raise ValueError(f"columns nested in more than {_MOST_LEVELS} levels")


def _chunk(column: dict[int, Any]) -> Chunk:
    stored = column[3]
    start, dictionary = stored[9], stored.get(11) or 0
    start = dictionary if 0 < dictionary < start else start
    return Chunk(start, stored[7], stored[5], _CODECS[stored[4]])


def pages_of(file: BinaryIO, size: int, chunk: Chunk) -> Iterator[Page]:
    """The pages of a chunk, as pyarrow would read them.

    Args:
        file: the Parquet file; its position changes.
        size: of the file.
        chunk: what the footer says of the chunk.

    Raises:
        ValueError: for a header that is none.
    """
    place = chunk.start
    end = place + chunk.size
    values = 0
    while place < end and values < chunk.values:
        if not 0 <= place < size:
            raise ValueError(f"a page begins at byte {place} of {size}")
        page = _page_at(file, place)
        if page.kind in (DATA, DATA_V2):
            values += page.values
        yield page
        place = page.start + page.packed


def _page_at(file: BinaryIO, place: int) -> Page:
    size = _HEADER
    while True:
        file.seek(place)
        reader = Reader(file.read(size), _MOST_ITEMS)
        try:
            fields = reader.struct()
        except CutError:
            if size >= _MOST_HEADER:
                raise ValueError(f"the page header at byte {place} is cut, or too long") from None
            size *= 16
        else:
            return _page(fields, place, place + reader.place)


def _page(fields: dict[int, Any], place: int, start: int) -> Page:
    try:
        kind, unpacked, packed = fields[1], fields[2], fields[3]
        crc = fields[4] & 0xFFFFFFFF if 4 in fields else None
        of_kind = fields.get({DATA: 5, DICTIONARY: 7, DATA_V2: 8}.get(kind, 0), {1: 0, 2: 0})
        values = of_kind[1]
        if min(unpacked, packed, values) < 0:
            raise ValueError
        if kind == DATA_V2:
            levels = of_kind[5] + of_kind[6]
            if min(of_kind[5], of_kind[6]) < 0 or levels > packed:
                raise ValueError
            is_packed = of_kind.get(7, True)
            return Page(kind, start, packed, unpacked, crc, values, of_kind[4], RLE, levels, is_packed)
        return Page(
            kind,
            start,
            packed,
            unpacked,
            crc,
            values,
            of_kind[2],
            of_kind.get(3, RLE) if kind == DATA else RLE,
        )
    except (AttributeError, LookupError, TypeError, ValueError):
        raise ValueError(f"the page header at byte {place} is damaged") from None
