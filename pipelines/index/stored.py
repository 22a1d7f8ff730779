"""Vectors in fewer bytes than float32, as an index shard holds them: what is stored decides every score.

The files are ScaNN's own: bfloat16 is the upper half of a float32, int8 a number from -127 to 127 for each dimension's
greatest magnitude.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..store.index_manifest import Bytes, Metric

_MULTIPLIERS = "int8_multipliers.npy"
FILES: dict[Bytes, tuple[str, ...]] = {
    "float32": ("dataset.npy",),
    "bfloat16": ("bfloat16_dataset.npy",),
    "int8": ("int8_dataset.npy", _MULTIPLIERS),
}
"""Names of the files of an index shard's vectors, the vectors first."""
SIZES: dict[Bytes, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Bytes of a number."""
_INFINITY, _LARGEST = 0x7F80, 0x7F7F
"""Magnitudes of bfloat16, as bits."""


class StoredVectors:
    """Vectors that are float32 wherever they are read; as much of an array as the index asks for.

    Attributes:
        codes: int16 (n, dim), the upper halves of float32; or int8 (n, dim).
        multipliers: float32 (dim,), what int8 codes are divided by; None for bfloat16.
        unit: whether vectors are read at unit length, which rounding has changed by up to 0.004.
        shape: of the vectors.
    """

    def __init__(self, codes: np.ndarray, multipliers: np.ndarray | None, unit: bool) -> None:
        # A memory map's own class would be wrapped again at every slice.
        self.codes = np.asarray(codes)
        self.multipliers = multipliers
        self.unit = unit
        self.shape = codes.shape
        self._steps = None if multipliers is None else np.float32(1) / multipliers

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> np.ndarray:
        codes = self.codes[rows]
        return self._read(codes, np.empty(codes.shape, np.float32))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)

    def rounded(self) -> np.ndarray:
        """All vectors as ScaNN reads them, not at unit length again: float32 (n, dim)."""
        return self._decoded(self.codes, np.empty(self.shape, np.float32))

    def take(self, rows: np.ndarray, axis: int, out: np.ndarray, mode: Any = "raise") -> np.ndarray:
        """As `numpy.take`; float32 (rows, dim)."""
        return self._read(self.codes.take(rows, axis=axis, mode=mode), out)

    def _read(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        self._decoded(codes, out)
        if self.unit:
            out /= np.maximum(np.sqrt(np.einsum("...d,...d->...", out, out)), 1e-12)[..., None]
        return out

    def _decoded(self, codes: np.ndarray, out: np.ndarray) -> np.ndarray:
        if self._steps is not None:
            return np.multiply(codes, self._steps, out=out)
        bits = out.view(np.uint32)
        bits[...] = codes.view(np.uint16)
        bits <<= 16
        return out


Vectors = np.ndarray | StoredVectors
"""float32 (n, dim), or what is read as that."""


class JoinedVectors:
    """Some of the vectors of an index and all of another's behind them, read where they lie.

    Args:
        first: of the one.
        rows: int64 (m,), m at least 1: which of them.
        second: of the other.

    Attributes:
        shape: of the vectors.
    """

    def __init__(self, first: Vectors, rows: np.ndarray, second: Vectors) -> None:
        self._first, self._second = (
            np.asarray(v) if isinstance(v, np.ndarray) else v for v in (first, second)
        )
        self._rows = rows
        self.shape = (len(rows) + len(second), int(first.shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return self.take(numbers, 0, np.empty((len(numbers), self.shape[1]), np.float32))

    def take(self, numbers: np.ndarray, axis: int, out: np.ndarray, mode: Any = "wrap") -> np.ndarray:
        """As `numpy.take` with the mode "wrap"; float32 (numbers, dim)."""
        numbers = numbers % len(self)
        added = numbers >= len(self._rows)
        self._first.take(self._rows[np.where(added, 0, numbers)], axis=axis, out=out, mode="wrap")
        out[added] = self._second[numbers[added] - len(self._rows)]
        return out


def stored(vectors: np.ndarray, kind: Bytes, metric: Metric) -> Vectors:
    """Vectors float32 (n, dim), as `scores.checked` returns them, rounded to what `kind` holds."""
    if kind == "float32":
        return vectors
    if kind == "int8":
        # Two passes that need no copy of the vectors.
        greatest = np.maximum(vectors.max(axis=0, initial=0), -vectors.min(axis=0, initial=0))
        multipliers = np.where(greatest > 0, 127 / np.where(greatest > 0, greatest, 1), 1).astype(np.float32)
        codes = np.empty(vectors.shape, np.int8)
        np.rint(vectors * multipliers, out=codes, casting="unsafe")
        return StoredVectors(codes, multipliers, unit=metric == "cosine")
    return StoredVectors(_halves(vectors), None, unit=metric == "cosine")


def _halves(vectors: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of float32, of two the even one, the largest for what would be infinite: int16."""
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    halves = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    halves[(halves & 0x7FFF) == _INFINITY] -= _INFINITY - _LARGEST
    return halves.view(np.int16)


def are_stored(held: Vectors, rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Whether vectors float32 (m, dim) are stored as these rows of others are: bool (m,)."""
    if not isinstance(held, StoredVectors):
        return (held[rows].view(np.uint32) == vectors.view(np.uint32)).all(axis=1)
    if held.multipliers is None:
        return (held.codes[rows] == _halves(vectors)).all(axis=1)
    return (held.codes[rows] == np.rint(vectors * held.multipliers)).all(axis=1)


def write_vectors(folder: str, vectors: Vectors, kind: Bytes) -> None:
    """Writes them into a local folder."""
    name = FILES[kind][0]
    codes = vectors.codes if isinstance(vectors, StoredVectors) else vectors
    np.save(os.path.join(folder, name), codes, allow_pickle=False)
    if isinstance(vectors, StoredVectors) and vectors.multipliers is not None:
        np.save(os.path.join(folder, _MULTIPLIERS), vectors.multipliers, allow_pickle=False)


def read_vectors(folder: str, kind: Bytes, metric: Metric) -> Vectors:
    """The vectors that `write_vectors` or ScaNN left in a local folder, mapped into memory.

    Raises:
        OSError, ValueError: if they cannot be read.
    """
    codes = np.load(os.path.join(folder, FILES[kind][0]), mmap_mode="r", allow_pickle=False)
    if kind == "float32":
        return codes
    multipliers = np.load(os.path.join(folder, _MULTIPLIERS), allow_pickle=False) if kind == "int8" else None
    return StoredVectors(codes, multipliers, unit=metric == "cosine")
