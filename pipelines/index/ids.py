"""The ids of all embedding files, read by workers and split into parts; on the way the files are checked.

FOLDER/NUMBER.arrow  ids of the image shards from this number on, and their shards' numbers (see `runner.parts`)
FOLDER/NUMBER.json   what was found in those shards' files: a `Found`
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from itertools import chain
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import pyarrow as pa

from lookalike.model.cores import cores
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..runner import progress
from ..runner.parts import write_parts
from ..store.notes import EmbeddedShard, is_whole
from .carried import with_values
from .embeddings import DamagedError, open_parquet, open_whole, rows_of

SCHEMA = pa.schema([("item_id", pa.string()), ("shard", pa.int32())])
PART = 4_000_000
"""Ids of a part at most: what a worker compares at once, some 400 MB of ids of usual length."""
_AT_ONCE = 8
"""Files that are read at the same time at least: on an object store a request takes longer than its work."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class StoredShard:
    """Files of an image shard that are to be looked at.

    Attributes:
        number: of the shard, in the order of the corpus.
        path: its embedding file, relative to the store.
        rejects_path: its rejects file, relative to the store.
        sha256, rejects_sha256: what their digests must be; None where that is not asked.
    """

    number: int
    path: str
    rejects_path: str
    sha256: str | None
    rejects_sha256: str | None

    @classmethod
    def of(cls, number: int, note: EmbeddedShard, check: bool) -> StoredShard:
        """The files of a note; `check` is whether their digests are asked."""
        digests = (note.sha256, note.rejects_sha256) if check else (None, None)
        return cls(number, note.path, note.rejects_path, *digests)

    def to_json(self) -> list[Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return list(astuple(self))

    @classmethod
    def from_json(cls, data: list[Any]) -> StoredShard:
        """What `to_json` was asked of."""
        return cls(*data)


@dataclass(frozen=True)
class Found:
    """What was found in embedding files.

    Attributes:
        damaged: files that are not what their digests say, relative to the store.
        carried: those of the fields that were asked for that have a value somewhere.
    """

    damaged: tuple[str, ...]
    carried: frozenset[str]


@dataclass(frozen=True)
class ReadIds:
    """Image shards -> their ids in parts, and what was found in their files. It travels to workers.

    Attributes:
        store: folder of the store.
        folder: for the files that are written.
        parts: into how many parts the ids are split.
        carried: fields of metadata that are asked for.
        progress_folder: where progress is noted.
    """

    store: str
    folder: str
    parts: int
    carried: tuple[str, ...]
    progress_folder: str

    def __call__(self, shards: Iterable[StoredShard]) -> None:
        noted = progress.worker_note(self.progress_folder)
        waiting = iter(shards)
        first = next(waiting)
        base = files.join(self.folder, f"{first.number:07}")
        damaged: list[str] = []
        carried: set[str] = set()
        with write_parts(f"{base}.arrow", SCHEMA, self.parts) as writer:
            for one in _in_threads(self._read, chain([first], waiting)):
                damaged += one.damaged
                carried |= one.carried
                for ids in one.ids:
                    numbers = pa.repeat(pa.scalar(one.number, pa.int32()), len(ids))
                    writer.add(pa.record_batch([ids, numbers], schema=SCHEMA), part_of(ids, self.parts))
                noted.add(shards=1, vectors=one.count, work=one.count)
        found = {"damaged": damaged, "carried": sorted(carried)}
        files.write_bytes(f"{base}.json", json.dumps(found).encode())

    def _read(self, shard: StoredShard) -> _Read:
        path = files.join(self.store, shard.path)
        read = _Read(shard.number)
        try:
            if shard.rejects_sha256 and not is_whole(self.store, shard.rejects_path, shard.rejects_sha256):
                read.damaged.append(shard.rejects_path)
            with open_whole(path, shard.sha256) if shard.sha256 else files.open_read(path) as file:
                parquet = open_parquet(file, path)
                read.carried |= with_values(parquet.metadata, self.carried)
                read.ids += [batch["item_id"] for batch in rows_of(parquet, path, ["item_id"])]
        except DamagedError:
            read.damaged.insert(0, shard.path)
        except OSError as error:
            raise LookalikeError(files.reason(error)) from error
        return read


@dataclass
class _Read:
    """What was read of one image shard's files."""

    number: int
    damaged: list[str] = field(default_factory=list)
    carried: set[str] = field(default_factory=set)
    ids: list[pa.Array] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.ids))


def _in_threads(work: Callable[[T], R], elements: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each element, in order; as many are worked on, or wait, as there are threads."""
    threads = max(_AT_ONCE, cores())
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for element in elements:
                waiting.append(pool.submit(work, element))
                if len(waiting) == threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def part_of(ids: pa.Array, parts: int) -> np.ndarray:
    """The part that each id belongs to, the same on every machine: int64 (ids,)."""
    if parts == 1:
        return np.zeros(len(ids), np.int64)
    return np.fromiter(map(crc32, ids.cast(pa.binary()).to_pylist()), np.int64, len(ids)) % parts


def parts_for(ids: int) -> int:
    """Into how many parts so many ids are split."""
    return max(1, -(-ids // PART))


def found_in(folder: str) -> Found:
    """What all workers found. Raises OSError."""
    damaged: list[str] = []
    carried: set[str] = set()
    for file in files.list_files(folder):
        if file.path.endswith(".json"):
            told = json.loads(files.read_bytes(file.path))
            damaged += told["damaged"]
            carried |= set(told["carried"])
    return Found(tuple(damaged), frozenset(carried))
