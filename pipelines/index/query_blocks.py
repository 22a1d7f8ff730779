"""Queries in files: blocks that are asked at once, in input order, so that no more than one need be in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..filesystem import files


@dataclass(frozen=True)
class QueryBlock:
    """Some queries, in input order.

    Attributes:
        ids: of the queries.
        vectors: float32 (queries, dim).
        numbers: int64 (queries,), ascending: each one's place in the input, as far as its file holds that.
    """

    ids: list[str]
    vectors: np.ndarray
    numbers: np.ndarray

    def only(self, kept: np.ndarray) -> QueryBlock:
        """Some of the queries: bool (queries,)."""
        ids = [query_id for query_id, keep in zip(self.ids, kept.tolist(), strict=True) if keep]
        return QueryBlock(ids, self.vectors[kept], self.numbers[kept])


@contextlib.contextmanager
def write_queries(path: str, dim: int) -> Iterator[Callable[[QueryBlock], None]]:
    """Gives a function that adds a block to a file, which appears when the `with` ends well. Raises OSError."""
    schema = pa.schema(
        [("query_id", pa.string()), ("number", pa.int64()), ("vector", pa.list_(pa.float32(), dim))]
    )
    with files.write_atomic(path) as file, pa.ipc.new_stream(file, schema) as writer:

        def add(block: QueryBlock) -> None:
            vectors = np.ascontiguousarray(block.vectors, np.float32).reshape(-1)
            columns = [
                pa.array(block.ids, pa.string()),
                pa.array(block.numbers, pa.int64()),
                pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))

        yield add


def read_queries(paths: Iterable[str]) -> Iterator[QueryBlock]:
    """The blocks of some files, one after another. Raises OSError."""
    for path in paths:
        with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                ids, numbers, vectors = batch.columns
                dim = vectors.type.list_size
                yield QueryBlock(
                    ids.to_pylist(), vectors.flatten().to_numpy().reshape(-1, dim), numbers.to_numpy()
                )
