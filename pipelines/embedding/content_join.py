"""The join by content, as workers do it: which of the store's embeddings are of images that missing shards hold.

    wanted/NUMBER.arrow   keys of what missing shards hold, from this shard on; parts by key
    held/NUMBER.arrow     keys of what embedding files hold, from this file on; parts by key
    chosen/PART.arrow     which row of which file is known of which place in which shard; parts by group of files
    fetched/GROUP.arrow   what is known of each place, read from a group of files; parts by group of shards
    known/SHARD           the same of one shard, in order: see `known`

What a key is, and what belongs to which part, is told by `store.splits`. Keys that were read before come from there
(`store.kept`), those of other files from `held`.
Beside `held` and `fetched` lie lists of files that are damaged, beside `chosen` those of the groups that are in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..filesystem import files
from ..filesystem.naming import naming, temporary_file
from ..runner.parts import PartWriter, read_part, write_parts
from ..runner.work_list import MOST_FILES
from ..store.kept_parts import KeptParts
from ..store.notes import is_whole
from ..store.splits import KEYS, OF_CONTENT, digests_of, key_rows, keys_of, part_of, part_of_keys
from .held_keys import are_in, last_of_each
from .known import record_of

_GROUP = 16
"""Files that are worked on together at least: each group has a part in the file of every other."""
_BATCH = 1024
_ROWS = 65_536
_WANTED = pa.schema([("key", pa.uint64()), ("shard", pa.int32()), ("position", pa.int64())])
_CHOSEN = pa.schema(
    [("file", pa.int32()), ("row", pa.int64()), ("shard", pa.int32()), ("position", pa.int64())]
)
_PLACE = ("shard", "position")
_FEW = 1 << 20
"""Keys that are wanted of a part: of so many only their like is looked at among what is held."""


@dataclass(frozen=True)
class Join:
    """A join of so many files with so many shards.

    Attributes:
        store: folder of the store.
        folder: of the run, for what workers leave each other.
        file_count: number of embedding files.
        shard_count: number of missing shards.
        parts: into how many parts keys are split.
        dim: length of a vector.
        max_pixels: largest width x height; what is larger is not known.
        kept: keys that were read before.
    """

    store: str
    folder: str
    file_count: int
    shard_count: int
    parts: int
    dim: int
    max_pixels: int
    kept: KeptParts

    @property
    def spill(self) -> str | None:
        """Local folder for what does not fit into memory; None is that of the system's temporary files."""
        return None if files.is_remote(self.folder) else self.folder

    @property
    def file_groups(self) -> int:
        """How many groups of embedding files are read, each by one worker."""
        return _groups_of(self.file_count)

    @property
    def shard_groups(self) -> int:
        """How many groups of shards are given what is known of them, each by one worker."""
        return _groups_of(self.shard_count)

    def left(self, kind: str) -> list[str]:
        """Files of a kind that workers left, in order. Raises OSError."""
        listed = files.list_files(files.join(self.folder, kind))
        return [file.path for file in listed if file.path.endswith(".arrow")]

    def damaged(self, kind: str) -> dict[int, str]:
        """Number of an embedding file -> its path, of those that were found damaged in a step. Raises OSError."""
        return dict(self._told(kind))

    def chosen_groups(self) -> set[int]:
        """The groups of embedding files that something is wanted of. Raises OSError."""
        return set(self._told("chosen"))

    def _told(self, kind: str) -> Iterator[Any]:
        """What is in the lists beside the files of a kind."""
        for file in files.list_files(files.join(self.folder, kind)):
            if file.path.endswith(".json"):
                yield from json.loads(files.read_bytes(file.path))


def _groups_of(count: int) -> int:
    return min(-(-count // _GROUP), MOST_FILES)


def group_of(number: Any, count: int, groups: int) -> Any:
    """The group that one of `count` things belongs to, where neighbours are together; of an array, of each."""
    return number * groups // count


class Listed(NamedTuple):
    """A file, its number among its kind, and its digest if that is asked."""

    number: int
    path: str
    sha256: str = ""

    @classmethod
    def from_json(cls, data: list[Any]) -> Listed:
        """One of a work list."""
        return cls(*data)


class Group(NamedTuple):
    """Files that a worker works on together."""

    number: int
    files: tuple[Listed, ...]

    @classmethod
    def from_json(cls, data: list[Any]) -> Group:
        """One of a work list."""
        return cls(data[0], tuple(map(Listed.from_json, data[1])))


@dataclass(frozen=True)
class ReadWanted:
    """Files of what missing shards hold -> their keys."""

    join: Join

    def __call__(self, shards: Iterable[Listed]) -> None:
        first, shards = _first(shards)
        path = files.join(self.join.folder, "wanted", f"{first.number:07}.arrow")
        with write_parts(path, _WANTED, self.join.parts) as writer:
            for shard in shards:
                with files.open_read(shard.path) as file:
                    for batch in pq.ParquetFile(file).iter_batches(columns=["position", "content_hash"]):
                        keys = keys_of(digests_of(batch))
                        numbers = pa.repeat(pa.scalar(shard.number, pa.int32()), len(batch))
                        rows = pa.record_batch([keys, numbers, batch["position"]], schema=_WANTED)
                        writer.add(rows, part_of_keys(keys, self.join.parts))


@dataclass(frozen=True)
class ReadHeld:
    """Embedding files -> the keys of what they hold, and which of them cannot be read."""

    join: Join

    def __call__(self, held: Iterable[Listed]) -> None:
        first, held = _first(held)
        base = files.join(self.join.folder, "held", f"{first.number:07}")
        damaged = []
        with write_parts(f"{base}.arrow", KEYS, self.join.parts) as writer:
            for one in held:
                try:
                    found = self._read(one)
                except (
                    _DamagedError,
                    pa.ArrowException,
                    ValueError,
                    TypeError,
                ):  # also columns of other types
                    damaged.append((one.number, one.path))
                    continue
                for rows in found:
                    writer.add(rows, part_of(rows, self.join.parts))
            files.write_bytes(f"{base}.json", json.dumps(damaged).encode(), lasting=False)

    def _read(self, held: Listed) -> list[pa.RecordBatch]:
        """Its rows of `KEYS`; all or none."""
        found: list[pa.RecordBatch] = []
        for batch in _batches(self.join.store, held, list(OF_CONTENT)):
            found.append(key_rows(batch, held.number, sum(map(len, found))))
        return found


@dataclass(frozen=True)
class Choose:
    """Parts of the keys -> for each place the row that is known of it, of the last file that has one.

    Attributes:
        join: of which both sides were read.
        damaged: files that are not used.
    """

    join: Join
    damaged: tuple[int, ...]

    def __call__(self, parts: Iterable[int]) -> None:
        for part in parts:
            self._choose(part)

    def _choose(self, part: int) -> None:
        base = files.join(self.join.folder, "chosen", f"{part:05}")
        groups = self.join.file_groups
        met: set[int] = set()
        held = last_of_each(self._usable(part, self._wanted(part)))
        with write_parts(f"{base}.arrow", _CHOSEN, groups) as writer:
            for wanted in self._rows("wanted", part):
                keys = wanted["key"].to_numpy()
                known = np.flatnonzero(are_in(keys, held["key"]))
                found = held[np.searchsorted(held["key"], keys[known])]
                columns = [found["file"], found["row"], *(wanted[name].take(known) for name in _PLACE)]
                group = group_of(found["file"].astype(np.int64), self.join.file_count, groups)
                writer.add(pa.record_batch(columns, schema=_CHOSEN), group)
                met.update(group.tolist())
        files.write_bytes(f"{base}.json", json.dumps(sorted(met)).encode(), lasting=False)

    def _rows(self, kind: str, part: int) -> Iterator[pa.RecordBatch]:
        for path in self.join.left(kind):
            yield from read_part(path, part, self.join.parts)

    def _wanted(self, part: int) -> np.ndarray | None:
        """The keys of a part that are wanted, uint64 (keys,), ascending; None where they are many."""
        keys = [np.empty(0, np.uint64)]
        for rows in self._rows("wanted", part):
            keys.append(rows["key"].to_numpy())
            if sum(map(len, keys)) > _FEW:
                return None
        return np.unique(np.concatenate(keys))

    def _usable(self, part: int, wanted: np.ndarray | None) -> Iterator[pa.RecordBatch]:
        """What is held, but for damaged files, images that are too large, and, if it is told, what is not wanted."""
        damaged = np.array(self.damaged, np.int32)
        for rows in chain(self.join.kept.rows(KEYS, part, self.join.parts), self._rows("held", part)):
            usable = ~np.isin(rows["file"].to_numpy(), damaged)
            usable &= rows["pixels"].to_numpy() <= self.join.max_pixels
            if wanted is not None:
                usable &= are_in(rows["key"].to_numpy(), wanted)
            yield rows.filter(pa.array(usable))


@dataclass(frozen=True)
class Fetch:
    """Groups of embedding files -> what is known from them, and which of them are damaged."""

    join: Join

    def __call__(self, groups: Iterable[Group]) -> None:
        for group in groups:
            self._fetch(group)

    def _fetch(self, group: Group) -> None:
        chosen = self._chosen(group.number)
        base = files.join(self.join.folder, "fetched", f"{group.number:07}")
        damaged = []
        with write_parts(f"{base}.arrow", self._schema, self.join.shard_groups) as writer:
            for one in group.files:
                start, end = np.searchsorted(chosen["file"], [one.number, one.number + 1])
                try:
                    if start < end:
                        self._fetch_file(one, chosen[start:end], writer)
                except _DamagedError:
                    damaged.append((one.number, one.path))
        files.write_bytes(f"{base}.json", json.dumps(damaged).encode(), lasting=False)

    @property
    def _schema(self) -> pa.Schema:
        return _fetched(self.join.dim)

    def _chosen(self, group: int) -> np.ndarray:
        """What was chosen of a group of files, by file and row."""
        batches = [
            b for path in self.join.left("chosen") for b in read_part(path, group, self.join.file_groups)
        ]
        table = pa.Table.from_batches(batches, _CHOSEN)
        chosen = np.empty(len(table), [(name, np.int64) for name in _CHOSEN.names])
        for name in _CHOSEN.names:
            chosen[name] = table[name].to_numpy()
        return chosen[np.lexsort([chosen[name] for name in reversed(_CHOSEN.names)])]

    def _fetch_file(self, held: Listed, chosen: np.ndarray, writer: PartWriter) -> None:
        if not is_whole(self.join.store, held.path, held.sha256):
            raise _DamagedError
        start = 0
        for batch in _batches(self.join.store, held, ["content_hash", "width", "height", "embedding"]):
            first, last = np.searchsorted(chosen["row"], [start, start + len(batch)])
            here = chosen[first:last]
            rows = here["row"] - start
            start += len(batch)
            known = np.zeros(len(rows), record_of(self.join.dim))
            known["position"] = here["position"]
            known["content"] = digests_of(batch)[rows]
            known["width"], known["height"] = (batch[side].to_numpy()[rows] for side in ("width", "height"))
            known["vector"] = batch["embedding"].flatten().to_numpy().reshape(-1, self.join.dim)[rows]
            kind = self._schema.field("known").type
            raw = pa.Array.from_buffers(kind, len(known), [None, pa.py_buffer(known.tobytes())])
            group = group_of(here["shard"], self.join.shard_count, self.join.shard_groups)
            columns = [here["shard"].astype(np.int32), here["position"], raw]
            writer.add(pa.record_batch(columns, schema=self._schema), group)


def _fetched(dim: int) -> pa.Schema:
    known = pa.binary(record_of(dim).itemsize)
    return pa.schema([("shard", pa.int32()), ("position", pa.int64()), ("known", known)])


@dataclass(frozen=True)
class HandOut:
    """Groups of missing shards -> for each shard the file of what is known of it, unless that is nothing.

    Where each record belongs is held in memory; the records lie in a temporary file until they are in order.
    """

    join: Join

    def __call__(self, groups: Iterable[Group]) -> None:
        for group in groups:
            self._hand_out(group)

    def _hand_out(self, group: Group) -> None:
        places = [np.empty((0, 2), np.int64)]
        for batch in self._rows(group.number):
            places.append(np.stack([batch["shard"].to_numpy(), batch["position"].to_numpy()], axis=1))
        shard, position = np.concatenate(places).T
        if not len(shard):
            return
        order = np.lexsort([position, shard])
        slots = np.empty(len(order), np.int64)
        slots[order] = np.arange(len(order))
        record = record_of(self.join.dim)
        with temporary_file(self.join.spill) as file:
            with naming(file.name):
                # Not `truncate`: where a disk is full, writing to a map of what it does not have ends the process.
                os.posix_fallocate(file.fileno(), 0, len(order) * record.itemsize)
            known = np.memmap(file, record, "r+", shape=len(order))
            start = 0
            for batch in self._rows(group.number):
                raw = np.frombuffer(batch["known"].buffers()[1], record)
                offset = batch["known"].offset
                known[slots[start : start + len(batch)]] = raw[offset : offset + len(batch)]
                start += len(batch)
            ends = np.searchsorted(shard[order], [one.number for one in group.files], side="right")
            first = 0
            for one, end in zip(group.files, ends.tolist(), strict=True):
                if first < end:
                    _write_known(one.path, known[first:end])
                first = end

    def _rows(self, group: int) -> Iterator[pa.RecordBatch]:
        for path in self.join.left("fetched"):
            yield from read_part(path, group, self.join.shard_groups)


def _write_known(path: str, known: np.ndarray) -> None:
    with files.write_atomic(path, lasting=False) as file:
        for start in range(0, len(known), _BATCH):
            file.write(known[start : start + _BATCH].tobytes())


def _first(listed: Iterable[Listed]) -> tuple[Listed, Iterator[Listed]]:
    waiting = iter(listed)
    first = next(waiting)
    return first, chain([first], waiting)


class _DamagedError(Exception):
    """An embedding file that cannot be read as one."""


def _batches(store: str, held: Listed, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with files.open_read(files.join(store, held.path)) as file:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            yield from parquet.iter_batches(_BATCH, columns=columns, use_threads=False)
    except FileNotFoundError:
        raise _DamagedError from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        # What pyarrow finds wrong has no number, unlike what a file system reports.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _DamagedError from None
