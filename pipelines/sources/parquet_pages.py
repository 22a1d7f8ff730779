"""The pages of a Parquet column chunk: what each takes unpacked, told before it is.

The format: https://parquet.apache.org/docs/file-format/data-pages/ and parquet.thrift beside it; headers are in
Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow.parquet as pq

DATA, DICTIONARY, DATA_V2 = 0, 2, 3
"""Types of pages."""
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8
"""Encodings."""
_HEADER, _MOST_HEADER = 256, 16 << 20
_MOST_DEPTH, _MOST_ITEMS = 8, 1000
_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 12


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


def pages_of(file: BinaryIO, size: int, chunk: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """The pages of a chunk, as pyarrow would read them.

    Args:
        file: the Parquet file; its position changes.
        size: of the file.
        chunk: what the footer says of the chunk.

    Raises:
        ValueError: for a header that is none.
    """
    place = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < (chunk.dictionary_page_offset or 0) < place:
        place = chunk.dictionary_page_offset
    end = place + chunk.total_compressed_size
    values = 0
    while place < end and values < chunk.num_values:
        if not 0 <= place < size:
            raise ValueError(f"a page begins at byte {place} of {size}")
        page = _page_at(file, place)
        if page.kind in (DATA, DATA_V2):
            values += page.values
        yield page
        place = page.start + page.packed


class _ShortError(Exception):
    pass


def _page_at(file: BinaryIO, place: int) -> Page:
    size = _HEADER
    while True:
        file.seek(place)
        data = file.read(size)
        try:
            fields, length = _struct(data, 0, 0)
        except _ShortError:
            if len(data) < size or size >= _MOST_HEADER:
                raise ValueError(f"the page header at byte {place} is cut") from None
            size *= 16
        else:
            return _page(fields, place, place + length)


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
        return Page(kind, start, packed, unpacked, crc, values, of_kind[2], of_kind.get(3, RLE))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the page header at byte {place} is damaged") from None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if place >= len(data):
            raise _ShortError
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("a number of a page header is too long")


def _struct(data: bytes, place: int, depth: int) -> tuple[dict[int, Any], int]:
    fields: dict[int, Any] = {}
    number = 0
    while True:
        if place >= len(data):
            raise _ShortError
        head = data[place]
        place += 1
        if not head:
            return fields, place
        if head >> 4:
            number += head >> 4
        else:
            zigzag, place = _varint(data, place)
            number = zigzag >> 1 ^ -(zigzag & 1)
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], place = _value(data, place, kind, depth + 1)


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > _MOST_DEPTH:
        raise ValueError("a page header is nested too deeply")
    if kind == _BYTE or kind in (_TRUE, _FALSE):
        return None, place + 1
    if _BYTE < kind <= _I64:
        zigzag, place = _varint(data, place)
        return zigzag >> 1 ^ -(zigzag & 1), place
    if kind == _DOUBLE:
        return None, place + 8
    if kind == _BINARY:
        size, place = _varint(data, place)
        if size > _MOST_HEADER:
            raise ValueError("a text of a page header is too long")
        return None, place + size
    if kind in (_LIST, _SET):
        if place >= len(data):
            raise _ShortError
        head, place = data[place], place + 1
        count = head >> 4
        if count == 15:
            count, place = _varint(data, place)
        if count > _MOST_ITEMS:
            raise ValueError("a list of a page header is too long")
        for _ in range(count):
            _, place = _value(data, place, head & 15, depth + 1)
        return None, place
    if kind == _STRUCT:
        return _struct(data, place, depth)
    raise ValueError("a page header has a value of an unknown type")
