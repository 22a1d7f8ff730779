"""Queries in files: blocks that are asked at once, in input order, so that no more than one need be in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ..filesystem import files

_OURS = ("query_id", "number", "vector")


@dataclass(frozen=True)
class QueryBlock:
    """Some queries, in input order.

    Attributes:
        ids: of the queries.
        vectors: float32 (queries, dim).
        numbers: int64 (queries,), ascending: each one's place in the input, as far as its file holds that. Neighbours
            of one number are several vectors of one query.
        columns: of the table that the queries come from, a row for each: what is carried into the results, and `where`
            (text, null for none) if the table has it. None for queries that come from no such table.
    """

    ids: list[str]
    vectors: np.ndarray
    numbers: np.ndarray
    columns: pa.Table | None = field(default=None, kw_only=True)

    @property
    def is_first(self) -> np.ndarray:
        """Bool (queries,): rows that are the first of their query."""
        return np.diff(self.numbers, prepend=-1) != 0

    def only(self, kept: np.ndarray) -> QueryBlock:
        """Some of the queries: bool (queries,)."""
        ids = [query_id for query_id, keep in zip(self.ids, kept.tolist(), strict=True) if keep]
        columns = None if self.columns is None else self.columns.filter(pa.array(kept))
        return QueryBlock(ids, self.vectors[kept], self.numbers[kept], columns=columns)


@contextlib.contextmanager
def write_queries(path: str, dim: int) -> Iterator[Callable[[QueryBlock], None]]:
    """Gives a function that adds a block to a file, which appears when the `with` ends well. Raises OSError.

    The blocks of a file have the same columns.
    """
    with files.write_atomic(path) as file, contextlib.ExitStack() as opened:
        writer: pa.RecordBatchWriter | None = None

        def add(block: QueryBlock) -> None:
            nonlocal writer
            batch = _as_batch(block, dim)
            if writer is None:
                writer = opened.enter_context(pa.ipc.new_stream(file, batch.schema))
            writer.write_batch(batch)

        yield add
        if writer is None:
            pa.ipc.new_stream(file, pa.schema([])).close()


def _as_batch(block: QueryBlock, dim: int) -> pa.RecordBatch:
    """A block as it is stored: columns of the table behind our own, found by their place as names may be the same."""
    vectors = np.ascontiguousarray(block.vectors, np.float32).reshape(-1)
    columns = [
        pa.array(block.ids, pa.string()),
        pa.array(block.numbers, pa.int64()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim),
    ]
    carried = block.columns
    if carried is None:
        return pa.record_batch(columns, names=_OURS)
    columns += (column.combine_chunks() for column in carried.columns)
    return pa.record_batch(columns, names=[*_OURS, *carried.column_names])


def read_queries(paths: Iterable[str]) -> Iterator[QueryBlock]:
    """The blocks of some files, one after another. Raises OSError."""
    for path in paths:
        with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                ids, numbers, vectors, *carried = batch.columns
                dim = vectors.type.list_size
                yield QueryBlock(
                    ids.to_pylist(),
                    vectors.flatten().to_numpy().reshape(-1, dim),
                    numbers.to_numpy(),
                    columns=pa.table(carried, names=batch.schema.names[len(_OURS) :]) if carried else None,
                )
