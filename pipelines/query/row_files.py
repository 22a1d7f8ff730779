"""Rows of a query table in files of a run: pieces that workers read, block by block as they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pyarrow as pa

from ..filesystem import files
from ..filesystem.files import FileInfo

FORM = "rows"
"""Of a `sources.Shard` that is such a file."""


def write_rows(folder: str, blocks: Iterator[pa.Table], size: int) -> Iterator[FileInfo]:
    """Writes blocks into files of about so many rows, at least a block each. Raises OSError."""
    for number, first in enumerate(blocks):
        path, count = files.join(folder, f"{number:08}"), 0
        with files.write_atomic(path, lasting=False) as file, pa.ipc.new_stream(file, first.schema) as writer:
            for block in chain([first], blocks):
                writer.write_batch(block.combine_chunks().to_batches()[0])
                count += len(block)
                if count >= size:
                    break
        yield files.look(path)


def read_rows(path: str) -> Iterator[pa.Table]:
    """The blocks of a file. Raises OSError."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])
