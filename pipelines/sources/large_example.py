"""Takes the image out of a large `tf.train.Example` without parsing it: parsed, it may take twenty times its bytes.

The wire format is that of https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

from .base import MOST_METADATA

_MOST_FIELDS = 100_000
_VARINT, _BITS_64, _BYTES, _BITS_32 = 0, 1, 2, 5


class UnfitExampleError(ValueError):
    """Bytes that are no Example, or one that is not read; the message is the reason."""


class _Walk:
    """Goes through messages field by field, so many in all.

    Raises:
        UnfitExampleError: if bytes are no message, or there are more fields.
    """

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Number and content of each field that holds bytes."""
        place = 0
        while place < len(message):
            self._left -= 1
            if not self._left:
                raise UnfitExampleError(f"more than {_MOST_FIELDS:,} values in a tf.train.Example")
            tag, place = _varint(message, place)
            start = end = place
            kind = tag & 7
            if kind == _BYTES:
                size, start = _varint(message, place)
                end = start + size
            elif kind == _VARINT:
                _, end = _varint(message, place)
            elif kind in (_BITS_64, _BITS_32):
                end = place + (8 if kind == _BITS_64 else 4)
            else:
                raise UnfitExampleError("not a tf.train.Example")
            if end > len(message):
                raise UnfitExampleError("not a tf.train.Example")
            if kind == _BYTES:
                yield tag >> 3, message[start:end]
            place = end


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise UnfitExampleError("not a tf.train.Example")


def split(data: bytes, image_field: str) -> tuple[bytes, list[bytes] | None]:
    """An Example without its image, serialized, and the values of the image's feature; None if there is none.

    Raises:
        UnfitExampleError: if it is no Example, or what is not the image takes more than `MOST_METADATA` bytes.
    """
    walk = _Walk()
    rest = bytearray()
    image: memoryview | None = None
    for number, features in walk.fields(memoryview(data)):
        for inner, entry in walk.fields(features) if number == 1 else ():
            parts = dict(walk.fields(entry)) if inner == 1 else {}
            if inner == 1 and bytes(parts.get(1, b"")) == image_field.encode():
                image = parts.get(2, memoryview(b""))
            elif len(rest) + len(entry) > MOST_METADATA:
                raise UnfitExampleError(
                    f"what is not the image takes more than the {MOST_METADATA:,} bytes that are read"
                )
            elif inner == 1:
                rest += b"\x0a" + _as_varint(len(entry)) + entry
    values = None if image is None else _values(walk, image)
    return b"\x0a" + _as_varint(len(rest)) + bytes(rest), values


def _values(walk: _Walk, feature: memoryview) -> list[bytes]:
    """The values of a feature's list of bytes; of several, two."""
    found: list[memoryview] = []
    for number, values in walk.fields(feature):
        for inner, value in walk.fields(values) if number == 1 else ():
            if inner == 1:
                found = [*found, value][:2]
    return [bytes(value) for value in found] if len(found) < 2 else [b"", b""]


def _as_varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
