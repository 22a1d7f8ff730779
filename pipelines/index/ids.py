"""The ids and contents of embedding files, read by workers and split into parts; on the way the files are checked.

ids/NUMBER.arrow    rows of `splits.IDS` of the image shards from this number on (see `runner.parts`)
keys/NUMBER.arrow   rows of `splits.KEYS` of the same
found/NUMBER.json   what was found in those shards' files: a `Found`
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from lookalike.model.cores import cores
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..runner import progress
from ..runner.parts import PartWriter, read_part, write_parts
from ..store.kept import Fields
from ..store.notes import EmbeddedShard, is_whole
from ..store.splits import IDS, KEYS, OF_CONTENT, id_rows, key_rows, part_of
from .carried import with_values
from .embeddings import DamagedError, open_parquet, open_whole, rows_of

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
        sha256, rejects_sha256: what their digests must be.
    """

    number: int
    path: str
    rejects_path: str
    sha256: str
    rejects_sha256: str

    @classmethod
    def of(cls, number: int, note: EmbeddedShard) -> StoredShard:
        """The files of a note."""
        return cls(number, note.path, note.rejects_path, note.sha256, note.rejects_sha256)

    def to_json(self) -> list[Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return list(astuple(self))

    @classmethod
    def from_json(cls, data: list[Any]) -> StoredShard:
        """What `to_json` was asked of."""
        return cls(*data)


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in embedding files.

    Attributes:
        damaged: files that are not what their digests say, relative to the store.
        fields: fields of metadata that have values -> numbers of the shards in whose files it is just these, int64.
    """

    damaged: tuple[str, ...]
    fields: Mapping[Fields, np.ndarray]


@dataclass(frozen=True)
class ReadIds:
    """Image shards -> their ids and contents in parts, and what was found in their files. It travels to workers.

    Attributes:
        store: folder of the store.
        folder: for the folders of the files that are written.
        parts: into how many parts rows are split.
        progress_folder: where progress is noted.
    """

    store: str
    folder: str
    parts: int
    progress_folder: str

    def __call__(self, shards: Iterable[StoredShard]) -> None:
        noted = progress.worker_note(self.progress_folder)
        waiting = iter(shards)
        first = next(waiting)
        damaged: list[str] = []
        fields: defaultdict[Fields, list[int]] = defaultdict(list)
        with self._writer(IDS, first) as ids, self._writer(KEYS, first) as keys:
            for one in _in_threads(self._read, chain([first], waiting)):
                damaged += one.damaged
                if not one.damaged:
                    fields[one.fields].append(one.number)
                for rows in one.ids:
                    ids.add(rows, part_of(rows, self.parts))
                for rows in one.keys:
                    keys.add(rows, part_of(rows, self.parts))
                noted.add(shards=1, vectors=one.count, work=one.count)
        found = {"damaged": damaged, "fields": list(fields.items())}
        path = files.join(self.folder, "found", f"{first.number:07}.json")
        files.write_bytes(path, json.dumps(found).encode(), lasting=False)

    def _writer(self, schema: pa.Schema, first: StoredShard) -> AbstractContextManager[PartWriter]:
        path = files.join(folder_of(self.folder, schema), f"{first.number:07}.arrow")
        return write_parts(path, schema, self.parts)

    def _read(self, shard: StoredShard) -> _Read:
        path = files.join(self.store, shard.path)
        read = _Read(shard.number)
        try:
            if not is_whole(self.store, shard.rejects_path, shard.rejects_sha256):
                read.damaged.append(shard.rejects_path)
            with open_whole(path, shard.sha256) as file:
                parquet = open_parquet(file, path)
                read.fields = tuple(sorted(with_values(parquet.metadata, parquet.schema_arrow.names)))
                for batch in rows_of(parquet, path, ["item_id", *OF_CONTENT]):
                    read.keys.append(key_rows(batch, shard.number, read.count))
                    read.ids.append(id_rows(batch["item_id"], shard.number))
        except DamagedError:
            read.damaged.insert(0, shard.path)
        except OSError as error:
            raise LookalikeError(files.reason(error)) from error
        return read


def folder_of(folder: str, schema: pa.Schema) -> str:
    """Where in its folder `ReadIds` writes rows."""
    return files.join(folder, "ids" if schema == IDS else "keys")


def read_rows(folder: str, schema: pa.Schema, part: int, parts: int) -> Iterator[pa.RecordBatch]:
    """The rows of a part, of those that all workers read. Raises OSError."""
    for file in files.list_files(folder_of(folder, schema)):
        yield from read_part(file.path, part, parts)


@dataclass
class _Read:
    """What was read of one image shard's files."""

    number: int
    damaged: list[str] = field(default_factory=list)
    fields: Fields = ()
    ids: list[pa.RecordBatch] = field(default_factory=list)
    keys: list[pa.RecordBatch] = field(default_factory=list)

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


def found_in(folder: str) -> Found:
    """What all workers found. Raises OSError."""
    damaged: list[str] = []
    fields: defaultdict[Fields, list[np.ndarray]] = defaultdict(list)
    for file in files.list_files(files.join(folder, "found")):
        told = json.loads(files.read_bytes(file.path))
        damaged += told["damaged"]
        for names, numbers in told["fields"]:
            fields[tuple(names)].append(np.array(numbers, np.int64))
    return Found(tuple(damaged), {names: np.concatenate(numbers) for names, numbers in fields.items()})
