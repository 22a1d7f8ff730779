"""Thrift's compact protocol, as Parquet's headers are written in it, with limits.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

_MOST_DEPTH = 12
_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 12


class CutError(ValueError):
    """Data that end before the structure does."""


class Reader:
    """Reads one structure.

    Args:
        data: bytes it begins in.
        most_items: the most that a list may hold.

    Attributes:
        place: where the structure ends, once it is read.
    """

    def __init__(self, data: bytes, most_items: int) -> None:
        self.place = 0
        self._data = data
        self._most_items = most_items

    def struct(self, depth: int = 0, last: int | None = None) -> dict[int, Any]:
        """Field number -> value: int, bool, bytes, list or dict; None for numbers of other kinds.

        Args:
            depth: how many structures and lists it stands in.
            last: the field that nothing is read behind.

        Raises:
            CutError: if the data end.
            ValueError: if they are no structure, or one beyond the limits.
        """
        if depth > _MOST_DEPTH:
            raise ValueError("a Thrift structure is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1)
            if number == last:
                break
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind == _STRUCT:
            return self.struct(depth)
        if _BYTE < kind <= _I64:
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
            self._bytes(8 if kind == _DOUBLE else 1)
            return None
        raise ValueError("a Thrift structure has a value of an unknown type")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > self._most_items:
            raise ValueError("a list of a Thrift structure is too long")
        if depth > _MOST_DEPTH:
            raise ValueError("a Thrift structure is nested too deeply")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        if self.place >= len(self._data):
            raise CutError("a Thrift structure is cut")
        self.place += 1
        return self._data[self.place - 1]

    def _bytes(self, size: int) -> bytes:
        if self.place + size > len(self._data):
            raise CutError("a Thrift structure is cut")
        self.place += size
        return self._data[self.place - size : self.place]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number of a Thrift structure is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
