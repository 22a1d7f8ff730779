"""SHA-256 of files and of plain values: what artifacts are named by. And values from JSON that anyone may have made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a local file, in hexadecimal. Raises OSError."""
    with open(path, "rb") as file:
        return sha256_stream(file)


def sha256_stream(file: BinaryIO) -> str:
    """The SHA-256 of what is left to read, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """The SHA-256 of a JSON value, independent of the order of keys, in hexadecimal."""
    return hashlib.sha256(_json(value)).hexdigest()


def parse_json(data: bytes) -> Any:
    """A JSON value whose texts can be written as UTF-8 again: an escape such as `\\ud800` alone is no character.

    Raises:
        ValueError, RecursionError: if it is no JSON, or holds such a text.
    """
    value = json.loads(data.decode())
    json.dumps(value, ensure_ascii=False).encode()
    return value


class LongListDigest:
    """`sha256_json` of an object with a list that is too long to be held.

    Args:
        key: of the list.
        others: key -> value of all else in the object.

    >>> digest = LongListDigest("b", {"a": 1, "c": 2})
    >>> for number in range(3):
    ...     digest.add(number)
    >>> digest.hexdigest() == sha256_json({"a": 1, "b": [0, 1, 2], "c": 2})
    True
    """

    def __init__(self, key: str, others: Mapping[str, Any]) -> None:
        before = _json({name: value for name, value in others.items() if name < key})[:-1]
        after = _json({name: value for name, value in others.items() if name > key})[1:]
        comma = b"," if len(before) > 1 else b""
        self._digest = hashlib.sha256(before + comma + _json(key) + b":[")
        self._end = b"]" + (b"," if len(after) > 1 else b"") + after
        self._comma = b""

    def add(self, element: Any) -> None:
        """Adds the next element of the list, a JSON value."""
        self._digest.update(self._comma + _json(element))
        self._comma = b","

    def hexdigest(self) -> str:
        """The digest of the object with what was added so far."""
        whole = self._digest.copy()
        whole.update(self._end)
        return whole.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
