"""Rows regrouped in workers: who writes rows splits them into parts, and who gathers a part reads it of every file.

    FILE.arrow  Arrow's file format; record batch n holds rows of part n modulo the number of parts, maybe none

A file is written once, in memory that does not grow with it, and a part is read without the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import IO

import numpy as np
import pyarrow as pa

from ..filesystem import files

_BYTES = 32 << 20
"""What waits in memory until it is split and written."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


class PartWriter:
    """Writes rows split into parts, each part's in the order in which they came.

    Args:
        file: to write into.
        schema: of the rows.
        parts: number of parts.
    """

    def __init__(self, file: IO[bytes], schema: pa.Schema, parts: int) -> None:
        self._writer = pa.ipc.new_file(file, schema, options=_OPTIONS)
        self._schema, self._parts = schema, parts
        self._waiting: list[tuple[pa.RecordBatch, np.ndarray]] = []
        self._bytes = 0

    def add(self, rows: pa.RecordBatch, part: np.ndarray) -> None:
        """Adds rows; `part` tells the part of each, integers (rows,). Raises OSError."""
        self._waiting.append((rows, part))
        self._bytes += rows.nbytes
        if self._bytes >= _BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what waits, and the end of the file. Raises OSError."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pa.Table.from_batches([rows for rows, _ in self._waiting], self._schema)
        part = np.concatenate([part for _, part in self._waiting])
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(self._parts + 1))
        (sorted_rows,) = rows.take(order).combine_chunks().to_batches() or [_empty(self._schema)]
        for start, end in pairwise(ends.tolist()):
            self._writer.write_batch(sorted_rows.slice(start, end - start))
        self._waiting, self._bytes = [], 0


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema)


@contextlib.contextmanager
def write_parts(path: str, schema: pa.Schema, parts: int) -> Iterator[PartWriter]:
    """Gives a writer of a file that appears under its name when the block ends without an error. Raises OSError."""
    with files.write_atomic(path, lasting=False) as file:
        writer = PartWriter(file, schema, parts)
        yield writer
        writer.close()


def read_part(path: str, part: int, parts: int) -> Iterator[pa.RecordBatch]:
    """The rows of a part of a file that `write_parts` wrote for so many `parts`, in order. Raises OSError."""
    with files.open_read(path) as file:
        reader = pa.ipc.open_file(file)
        for number in range(part, reader.num_record_batches, parts):
            if len(rows := reader.get_batch(number)):
                yield rows
