"""Queries to parts, in workers: images are encoded, vectors read, ids looked up in all index shards."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..embedding import attempts
from ..filesystem import files
from ..filesystem.paths import anchored
from ..index.members import Members, members_of, settled
from ..index.opening import open_vectors_of, opened_in_turn
from ..index.pieces import fitting, read_ids
from ..index.query_blocks import QueryBlock, read_queries, write_queries
from ..runner import progress
from ..sources import Shard, SourceOptions
from ..sources.fields import escape
from ..store.encoders import open_kept
from ..store.generation import IndexRef
from .blocks import Block, Failure, parted
from .id_lists import ListedIds, ListedRows
from .inputs import encoded_blocks
from .matching import CheckFilters
from .parts import is_done, write_part
from .query_files import table_files
from .row_files import FORM, read_rows
from .table_blocks import Combine, encoded_rows
from .vector_files import rows_in_groups, vectors_of_groups

if TYPE_CHECKING:
    from lookalike.model.encoder.bundle import Encoder

ROWS = 1 << 17
"""Vectors that are read by one worker at a time, about."""


@dataclass(frozen=True)
class Source:
    """What one worker reads at a time: a shard of images or rows of a table, or some row groups of a file of vectors.

    Attributes:
        number: its place in the input.
        shard: of images, or a file of rows (see `row_files`).
        file: of vectors.
        groups: its row groups.
        place: of the shard, as people know it.
        before: rows in the files of vectors before this one.
    """

    number: int
    shard: Shard | None = None
    file: files.FileInfo | None = None
    groups: tuple[int, ...] = ()
    place: str = ""
    before: int = 0

    @property
    def size(self) -> int:
        """About how many bytes are read."""
        return self.shard.size if self.shard else self.file.size if self.file else 0

    def to_json(self) -> list[Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        shard = self.shard and [self.shard.place, self.shard.to_json()]
        file = self.file and [anchored(self.file.path), *astuple(self.file)[1:]]
        return [self.number, shard, file, self.groups, self.before]

    @classmethod
    def from_json(cls, data: list[Any]) -> Source:
        """The one that `to_json` was asked of, wherever that is: its paths are absolute, its `place` is not."""
        number, shard, file, groups, before = data
        place, shard = (shard[0], Shard.from_json(shard[1])) if shard else ("", None)
        return cls(number, shard, file and files.FileInfo(*file), tuple(groups), place, before)


def vector_sources(path: str) -> Iterator[Source]:
    """The parts of files of vectors that workers read. Raises LookalikeError for a file that is no whole Parquet."""
    number = before = 0
    for info in table_files(path):
        rows = rows_in_groups(info.path)
        start = 0
        for group in range(len(rows)):
            if sum(rows[start : group + 1]) >= ROWS or group == len(rows) - 1:
                yield Source(number, file=info, groups=tuple(range(start, group + 1)), before=before)
                start, number = group + 1, number + 1
        before += sum(rows)


@dataclass(frozen=True)
class ReadQueries:
    """Reads images and vectors; it travels to workers.

    Attributes:
        folder: of the run.
        options: how shards of images are read.
        encoder: folder of the encoder.
        fingerprint: its own, and that of the index.
        dim: length of a vector.
        metric: of the index.
        max_pixels: larger images are refused.
        block: queries in a block at most.
        suspect: whether an image among them may be what ended a process before.
        combine: how several rows of a table are one query.
        check: of the filters of queries.
    """

    folder: str
    options: SourceOptions
    encoder: str
    fingerprint: str
    dim: int
    metric: str
    max_pixels: int
    block: int
    suspect: bool
    combine: Combine = "best"
    check: CheckFilters = field(default_factory=CheckFilters)

    def __call__(self, sources: Iterable[Source]) -> None:
        """Makes a part of them. Raises LookalikeError for what cannot be read."""
        noted = progress.worker_note(files.join(self.folder, "progress"))
        coming = iter(sources)
        for first in coming:
            name = f"{first.number:08}"
            if is_done(self.folder, name):  # a runner may hand out work again
                return
            with write_part(self.folder, name, self.dim) as add:
                before = 0
                for source in (first, *coming):
                    last = -1
                    for block in map(self.check, self._blocks(source)):
                        failures = [Failure(before + one.number, *one[1:]) for one in block.failures]
                        add(replace(block, numbers=before + block.numbers, failures=failures))
                        last = max(
                            last, *block.numbers[-1:].tolist(), *(one.number for one in block.failures[-1:])
                        )
                        noted.add(queries=len(block.ids) + len(failures))
                    before += last + 1
                    noted.add(shards=1, work=source.size)
            noted.write()

    def _blocks(self, source: Source) -> Iterator[Block]:
        if shard := source.shard:
            try:
                suspect = attempts.begin(self.folder, shard) or self.suspect
                encoder = _encoder(self.encoder, self.fingerprint, self.max_pixels)
                if shard.format == FORM:
                    for rows in read_rows(shard.place):
                        yield encoded_rows(
                            rows,
                            encoder,
                            self.options,
                            suspect=suspect,
                            combine=self.combine,
                            metric=self.metric,
                        )
                    return
                yield from encoded_blocks(
                    shard,
                    self.options,
                    self.metric,
                    encoder,
                    suspect=suspect,
                    size=self.block,
                    place=source.place,
                )
            except OSError as error:
                raise LookalikeError(f"{escape(shard.place)}: {files.reason(error)}") from error
            finally:
                attempts.end(self.folder, shard)  # only a process that is ended itself leaves its note
        elif source.file:
            yield from vectors_of_groups(
                source.file,
                source.groups,
                self.dim,
                self.metric,
                self.fingerprint,
                self.block,
                source.before,
            )


@functools.lru_cache(maxsize=1)
def _encoder(folder: str, fingerprint: str, max_pixels: int) -> Encoder:
    from lookalike.model.encoder.bundle import Encoder

    return open_kept(folder, fingerprint, functools.partial(Encoder.load, max_pixels=max_pixels))


@dataclass(frozen=True)
class IdPiece:
    """Some index shards, of set `number`, in which some pieces of the list of ids are looked up."""

    number: int
    refs: tuple[IndexRef, ...]
    pieces: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> IdPiece:
        """The one that `to_json` was asked of."""
        return cls(
            data["number"], tuple(IndexRef.from_json(ref) for ref in data["refs"]), tuple(data["pieces"])
        )


@dataclass(frozen=True)
class LookUp:
    """Looks ids up in index shards; it travels to workers.

    Attributes:
        folder: of the run.
        store: folder of the store.
        ids: what is looked up.
        dim: length of a vector.
        memory: see `pieces.Search`.
        block: queries in a block at most.
        at_once: ids that are looked up at once at most.
        group: see `members_of`.
        excluded: file of ids that were taken down; see `pieces.Search`.
    """

    folder: str
    store: str
    ids: ListedIds | ListedRows
    dim: int
    memory: int | None
    block: int
    at_once: int
    group: str | None = None
    excluded: str | None = None

    @property
    def taken_down(self) -> pa.Array:
        """The ids of `excluded`."""
        return read_ids(self.excluded) if self.excluded else pa.array([], pa.string())

    def __call__(self, pieces: Iterable[IdPiece]) -> None:
        """Raises LookalikeError for a damaged index, OSError where the file system fails."""
        excluded = self.taken_down
        for piece in pieces:
            groups = fitting(self.store, piece.refs, self.memory)
            for turn, shards in enumerate(opened_in_turn(self.store, groups, open_vectors_of)):
                for number in piece.pieces:
                    path = files.join(_found(self.folder, number), f"{piece.number:03}-{turn:03}")
                    with write_queries(path, self.dim) as add:
                        for one in self.ids.blocks(number, self.at_once):
                            ids = pa.array(one.names, pa.string())
                            add(_as_block(members_of(shards, ids, self.group, excluded)))


@dataclass(frozen=True)
class GatherVectors:
    """Puts the vectors together that were found for the pieces of a list of ids; it travels to workers."""

    look_up: LookUp
    check: CheckFilters = field(default_factory=CheckFilters)

    def __call__(self, pieces: Iterable[int]) -> None:
        """Raises OSError."""
        up = self.look_up
        excluded = up.taken_down
        for number in pieces:
            name = f"{number:08}"
            if is_done(up.folder, name):
                continue
            found = [read_queries([file.path]) for file in files.list_files(_found(up.folder, number))]
            with write_part(up.folder, name, up.dim) as add:
                for one in up.ids.blocks(number, up.at_once):
                    parts = [_as_members(block) for block in map(next, found)]
                    looked_up = settled(parts, pa.array(one.names, pa.string()), excluded)
                    for block in parted(one.asked(looked_up), up.block):
                        add(self.check(block))


def _as_block(found: Members) -> QueryBlock:
    """Members as they are written down."""
    columns = pa.table({"is_item": found.is_item})
    return QueryBlock(found.item_ids.to_pylist(), found.vectors, found.place, columns=columns)


def _as_members(block: QueryBlock) -> Members:
    """What `_as_block` was given."""
    assert block.columns is not None
    is_item = block.columns["is_item"].combine_chunks().to_numpy(zero_copy_only=False)
    return Members(block.numbers, pa.array(block.ids, pa.string()), is_item, block.vectors)


def _found(folder: str, number: int) -> str:
    return files.join(folder, "found", f"{number:08}")
