"""Reads a FlatBuffer that anybody may have made: every offset is checked before it is followed.

The rules are those of the C++ library's `Verifier`, which has no Python counterpart: readers in C++ follow offsets
without looking. Source: https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_SCALARS = {"b": "<i1", "B": "<u1", "i": "<i4", "I": "<u4", "q": "<i8", "Q": "<u8", "f": "<f4"}
_MOST_TABLES = 100_000
"""Tables may be shared: a small file could otherwise hold as many as one likes."""


class FlatBufferError(ValueError):
    """A FlatBuffer that is not of its schema; the message is the reason."""


@dataclass(frozen=True)
class Schema:
    """What a table holds.

    Attributes:
        fields: by name, in the order of their slots. A type is a letter of `struct` for a number, `[i]` for a vector of
            numbers, `str`, a `Schema` for a table, a tuple of one for a vector of them, `any` for a table that is
            read later, None for what must not be there.
        defaults: of numbers, where it is not 0.
    """

    fields: Mapping[str, Any]
    defaults: Mapping[str, int] = field(default_factory=dict)


class FlatBuffer:
    """A FlatBuffer that is being read.

    Args:
        data: all of it.

    Raises:
        FlatBufferError: here and in its methods, if an offset leads outside, or to where it must not.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tables = 0

    def root(self, schema: Schema) -> dict[str, Any]:
        """The first table; see `table`."""
        return self.table(self._offset(0), schema)

    def table(self, at: int, schema: Schema) -> dict[str, Any]:
        """A table at a place in the data: a value for each field.

        None stands for a field that is not there, or its default for a number. Vectors of numbers are arrays, text
        is bytes, a field of type `any` is the table's place.
        """
        self._tables += 1
        if self._tables > _MOST_TABLES:
            raise FlatBufferError(f"more than {_MOST_TABLES:,} tables")
        places = self._vtable(at)
        if any(places[len(schema.fields) :]):
            raise FlatBufferError("a field that is not known")
        found: dict[str, Any] = {}
        for slot, (name, kind) in enumerate(schema.fields.items()):
            place = places[slot] if slot < len(places) else 0
            if not place:
                found[name] = schema.defaults.get(name, 0) if _is_number(kind) else None
            elif kind is None:
                raise FlatBufferError(f"a field {name}, which no network of ours has")
            else:
                found[name] = self._value(at, place, kind)
        return found

    def _vtable(self, at: int) -> list[int]:
        """Where in a table its fields begin, by slot; 0 for one that is not there."""
        vtable = at - self._number("i", at)
        size, inline = self._number("H", vtable), self._number("H", vtable + 2)
        if size < 4 or size % 2 or inline < 4 or at + inline > len(self._data):
            raise FlatBufferError("a table of no size")
        places = [self._number("H", vtable + 4 + 2 * slot) for slot in range((size - 4) // 2)]
        if any(place and not 4 <= place < inline for place in places):
            raise FlatBufferError("a field outside of its table")
        return places

    def _value(self, at: int, place: int, kind: Any) -> Any:
        size = np.dtype(_SCALARS[kind]).itemsize if _is_number(kind) else 4
        if place + size > self._number("H", at - self._number("i", at) + 2):
            raise FlatBufferError("a field that reaches out of its table")
        if _is_number(kind):
            return self._number(kind, at + place)
        target = self._offset(at + place)
        if kind == "any":
            return target
        if kind == "str":
            text = bytes(self._vector(target, "B"))
            if self._data[target + 4 + len(text) : target + 5 + len(text)] != b"\0":
                raise FlatBufferError("text without an end")
            return text
        if isinstance(kind, str):
            return self._vector(target, kind[1:-1])
        if isinstance(kind, tuple):
            count = len(self._vector(target, "I"))
            return [self.table(self._offset(target + 4 + 4 * i), kind[0]) for i in range(count)]
        return self.table(target, kind)

    def _number(self, kind: str, at: int) -> Any:
        size = struct.calcsize(f"<{kind}")
        if at < 0 or at + size > len(self._data) or at % size:
            raise FlatBufferError("an offset that leads outside, or between two numbers")
        return struct.unpack_from(f"<{kind}", self._data, at)[0]

    def _offset(self, at: int) -> int:
        distance = self._number("I", at)
        if not 0 < distance < 1 << 31:
            raise FlatBufferError("an offset that leads nowhere")
        return at + distance

    def _vector(self, at: int, kind: str) -> np.ndarray:
        dtype = np.dtype(_SCALARS[kind])
        count, begin = self._number("I", at), at + 4
        if count * dtype.itemsize > len(self._data) - begin or (count and begin % dtype.itemsize):
            raise FlatBufferError("a vector that reaches outside, or begins between two numbers")
        return np.frombuffer(self._data, dtype, count, begin)


def _is_number(kind: Any) -> bool:
    return isinstance(kind, str) and kind in _SCALARS
