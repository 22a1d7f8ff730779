"""Answers of index shards as tables that need no shard open: merged on exact scores, written down, read again.

Index shards that do not fit into memory together, or lie with different workers, are asked one after another; what each
answered to a block of queries is merged with what the others did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..store.index_manifest import ITEM_ID
from .conditions import NO_CONDITIONS, Conditions
from .groups import Grouping
from .ordering import Candidates, first_of, gather
from .scores import nearness
from .search import search, take_items
from .shard import IndexShard

_QUERIES = b"queries"
_BESIDE = 2
"""Columns of a written table before those of the items: the query's place, and how near the item is."""


@dataclass(frozen=True)
class Answers:
    """The nearest items of some queries.

    Attributes:
        near: float32 (queries, width), higher is nearer, -inf behind the last item of a query.
        items: table of `item_id` and the metadata columns of all that is named, by query, then rank.
        vectors: theirs, float32 (items, dim); None where nobody asked for them.
    """

    near: np.ndarray
    items: pa.Table
    vectors: np.ndarray | None = None

    @property
    def held(self) -> np.ndarray:
        """Bool (queries, width): places that have an item."""
        return ~np.isneginf(self.near)

    @property
    def query(self) -> np.ndarray:
        """The query of each item: int64 (items,)."""
        return np.repeat(np.arange(len(self.near)), self.held.sum(axis=1))

    @property
    def rank(self) -> np.ndarray:
        """The place of each item, from 1: int32 (items,)."""
        return np.nonzero(self.held)[1].astype(np.int32) + np.int32(1)

    def rows(self) -> np.ndarray:
        """The row of `items` at each place, int64 (queries, width), -1 for none."""
        rows = np.full(self.near.shape, -1, np.int64)
        held = self.held
        rows[held] = np.arange(len(self.items))
        return rows


def ask(
    shards: Sequence[IndexShard],
    queries: np.ndarray,
    k: int,
    *,
    exact: bool = False,
    excluded: Collection[str] | pa.Array = (),
    skip: Sequence[str | None] | pa.Array | None = None,
    conditions: Conditions = NO_CONDITIONS,
    columns: pa.Table | None = None,
    with_vectors: bool = False,
    marks_own: bool = False,
) -> Answers:
    """What open shards answer; arguments as `search.search`, and whether the items' vectors are wanted."""
    matches = search(
        shards,
        queries,
        k,
        exact=exact,
        excluded=excluded,
        skip=skip,
        conditions=conditions,
        columns=columns,
        marks_own=marks_own,
    )
    near = np.full((len(queries), k), -np.inf, np.float32)
    near[matches.query, matches.rank - 1] = nearness(matches.score, shards[0].manifest.metric)
    vectors = None
    if with_vectors:
        vectors = np.empty((len(matches.row), shards[0].manifest.dim), np.float32)
        for number, shard in enumerate(shards):
            here = matches.shard == number
            vectors[here] = shard.vectors_of(matches.row[here])
    return Answers(near, take_items(shards, matches), vectors)


def merged(parts: Sequence[Answers], k: int, grouping: Grouping | None = None) -> Answers:
    """The first `k` of several shards' answers to the same queries: see `ordering.first_of`."""
    if len(parts) == 1:
        return parts[0]
    found = first_of(
        parts,
        [
            Candidates(part.near, np.full(part.near.shape, number), part.rows())
            for number, part in enumerate(parts)
        ],
        k,
        grouping,
    )
    held = ~np.isneginf(found.near)
    source, row = found.shard[held], found.row[held]
    schema = parts[0].items.schema
    items = pa.table([gather(parts, source, row, name) for name in schema.names], schema=schema)
    vectors = None
    if parts[0].vectors is not None:
        vectors = np.empty((len(row), parts[0].vectors.shape[1]), np.float32)
        for number, part in enumerate(parts):
            here = source == number
            vectors[here] = part.vectors[row[here]]  # type: ignore[index]
    return Answers(found.near, items, vectors)


@contextlib.contextmanager
def write_answers(path: str) -> Iterator[Callable[[Answers], None]]:
    """Gives a function that adds the answers to a block of queries to a file, which appears when the block ends well.

    Raises:
        OSError: if it cannot be written.
    """
    with files.write_atomic(path) as file, contextlib.ExitStack() as stack:
        writer: list[Any] = []

        def add(answers: Answers) -> None:
            batch = _batch(answers)
            if not writer:
                writer.append(stack.enter_context(pa.ipc.new_stream(file, batch.schema)))
            writer[0].write_batch(batch, {_QUERIES: b"%d %d" % answers.near.shape})

        yield add


def read_answers(path: str) -> Iterator[Answers]:
    """What `write_answers` was given, a block at a time. Raises OSError."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
        while True:
            try:
                batch, said = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            queries, width = map(int, said[_QUERIES].split())
            yield _answers(batch, queries, width)


def _batch(answers: Answers) -> pa.RecordBatch:
    items = answers.items.combine_chunks()
    fields = [pa.field("query", pa.int32()), pa.field("near", pa.float32()), *items.schema]
    columns = [pa.array(answers.query.astype(np.int32)), pa.array(answers.near[answers.held])]
    columns += [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in items]
    if answers.vectors is not None:
        dim = answers.vectors.shape[1]
        fields.append(pa.field("vector", pa.list_(pa.float32(), dim)))
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(answers.vectors.reshape(-1)), dim))
    schema = pa.schema(fields, {b"vectors": b"%d" % (answers.vectors is not None)})
    return pa.record_batch(columns, schema=schema)


def _answers(batch: pa.RecordBatch, queries: int, width: int) -> Answers:
    counts = np.bincount(batch.column(0).to_numpy(), minlength=queries)
    near = np.full((queries, width), -np.inf, np.float32)
    near[np.arange(width) < counts[:, None]] = batch.column(1).to_numpy()
    vectors, end = None, batch.num_columns
    if batch.schema.metadata[b"vectors"] == b"1":
        end -= 1
        column = batch.column(end)
        vectors = column.flatten().to_numpy().reshape(len(batch), column.type.list_size)
    columns = [batch.column(number) for number in range(_BESIDE, end)]
    items = pa.table(columns, schema=pa.schema([batch.schema.field(n) for n in range(_BESIDE, end)]))
    assert items.column_names[0] == ITEM_ID
    return Answers(near, items, vectors)
