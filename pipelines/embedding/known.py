"""Embeddings that are known by the content of a shard's images: a file that a worker reads along with the shard.

`find_known` makes it; it is in order of the positions and read in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..filesystem import files

_BATCH = 1024


def record_of(dim: int) -> np.dtype[Any]:
    """What is known of an image, as it lies in a file; all zeros for nothing."""
    image = [("content", "S64"), ("width", "<i4"), ("height", "<i4"), ("vector", "<f4", (dim,))]
    return np.dtype([("position", "<i8"), *image])


class Embedding(NamedTuple):
    """The vector of an image, float32 (dim,), and [width, height] of the original in pixels."""

    vector: np.ndarray
    size: list[int]


class KnownEmbeddings:
    """What is known of a shard's images; to be asked in order of their positions.

    Args:
        path: the shard's file, as `find_known` leaves it; there need be none.
        dim: length of a vector.
    """

    def __init__(self, path: str, dim: int) -> None:
        self._rows = read_known(path, dim) if files.exists(path) else iter(())
        self._next = next(self._rows, None)

    def get(self, position: int, content_hash: str) -> Embedding | None:
        """What is known of the image at a position, by its SHA-256 in hexadecimal; None if it is new."""
        while self._next is not None and self._next["position"] < position:
            self._next = next(self._rows, None)
        known = self._next
        if known is None or known["position"] != position or known["content"] != content_hash.encode():
            return None
        return Embedding(known["vector"], [int(known["width"]), int(known["height"])])


def read_known(path: str, dim: int) -> Iterator[Any]:
    """What is known of a shard's images, in order of their positions: records of `record_of`. Raises OSError."""
    record = record_of(dim)
    with files.open_read(path) as file:
        while data := file.read(_BATCH * record.itemsize):
            yield from np.frombuffer(data, record)
