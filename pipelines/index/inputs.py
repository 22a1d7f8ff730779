"""Which embedding files an index shard is made of: a file of the run, of which each worker reads its part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.digests import LongListDigest, sha256_json

from ..runner.parts import PartWriter, read_part, write_parts
from ..store.notes import EmbeddedShard
from .duplicates import LeftOut

_SCHEMA = pa.schema([("path", pa.string()), ("sha256", pa.string()), ("left_out", pa.list_(pa.string()))])
_AT_ONCE = 1000
"""Embedding files, and ids that are left out of them, that are held at once."""


@dataclass(frozen=True)
class EmbeddingInput:
    """An embedding file on its way into an index shard.

    Attributes:
        path: relative to the store.
        sha256: what its digest must be.
        left_out: ids of it that are not served, sorted.
    """

    path: str
    sha256: str
    left_out: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of all that decides what it brings into an index shard."""
        return sha256_json([self.path, self.sha256, self.left_out])


@dataclass(frozen=True)
class IndexInputs:
    """The embedding files of all index shards.

    Attributes:
        path: file that says which they are; see `read_inputs`.
        digests: of what each index shard is made from.
        decided_by: digest of what they are made from besides their embedding files.
        vectors: how many vectors each index shard will hold.
        duplicates: records that are left out because an earlier shard has their id.
        taken_down: records that are left out because their id is taken down.
    """

    path: str
    digests: tuple[str, ...]
    decided_by: str
    vectors: tuple[int, ...]
    duplicates: int
    taken_down: int


def hash_of(shard: str) -> int:
    """A stable hash of an image shard's name, 64 bits."""
    digest = blake2b(shard.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def number_of(shard: str, shards: int) -> int:
    """The index shard, of `shards`, that an image shard belongs to."""
    return hash_of(shard) % shards


def write_inputs(
    path: str,
    notes: Iterable[EmbeddedShard],
    left_out: Iterable[LeftOut],
    shards: int,
    others: Mapping[str, Any],
) -> IndexInputs:
    """Distributes embedding files over index shards.

    Args:
        path: of the file that is written.
        notes: the embedding files, in the order of the corpus.
        left_out: what is not served, in this order.
        shards: number of index shards.
        others: what each is made from besides its inputs, as JSON takes it.

    Raises:
        OSError: if the file cannot be written.
    """
    digests = [LongListDigest("inputs", others) for _ in range(shards)]
    vectors = np.zeros(shards, np.int64)
    duplicates = taken_down = 0
    with write_parts(path, _SCHEMA, shards) as writer:
        rows = _Rows(writer)
        for note, gone in _together(notes, left_out):
            ids = [one.item_id for one in gone]
            number = number_of(note.shard, shards)
            digests[number].add([note.path, note.sha256, ids])
            vectors[number] += note.embedded + note.reused - len(ids)
            duplicates += sum(one.kept is not None for one in gone)
            taken_down += sum(one.taken_down for one in gone)
            rows.add(number, note, ids)
        rows.flush()
    named = tuple(digest.hexdigest() for digest in digests)
    return IndexInputs(path, named, sha256_json(others), tuple(vectors.tolist()), duplicates, taken_down)


def _together(
    notes: Iterable[EmbeddedShard], left_out: Iterable[LeftOut]
) -> Iterator[tuple[EmbeddedShard, Sequence[LeftOut]]]:
    """Each note with what is left out of its shard."""
    by_shard = groupby(left_out, key=lambda one: one.shard)
    shard, gone = next(by_shard, (None, iter(())))
    for number, note in enumerate(notes):
        if number != shard:
            yield note, ()
            continue
        yield note, tuple(gone)
        shard, gone = next(by_shard, (None, iter(())))


class _Rows:
    """Rows on their way to a file, a thousand at a time."""

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._rows: list[tuple[str, str, list[str]]] = []
        self._numbers: list[int] = []
        self._left_out = 0

    def add(self, number: int, note: EmbeddedShard, left_out: list[str]) -> None:
        self._rows.append((note.path, note.sha256, left_out))
        self._numbers.append(number)
        self._left_out += len(left_out)
        if max(len(self._rows), self._left_out) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            columns = [
                pa.array(c, f.type) for c, f in zip(zip(*self._rows, strict=True), _SCHEMA, strict=True)
            ]
            self._writer.add(pa.record_batch(columns, schema=_SCHEMA), np.array(self._numbers))
        self._rows, self._numbers, self._left_out = [], [], 0


def read_inputs(path: str, number: int, shards: int) -> Iterator[EmbeddingInput]:
    """The embedding files of an index shard, of `shards`, in the order of the corpus. Raises OSError."""
    for batch in read_part(path, number, shards):
        for told, sha256, left_out in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield EmbeddingInput(told, sha256, tuple(left_out))
