"""The first stage of a query job for a query table: its rows in files that workers read, or, of vectors and
words, the parts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pyarrow as pa

from ..filesystem import files
from ..sources import Shard
from .answering import Served
from .id_lists import ListedRows
from .inputs import IMAGE_BLOCK, open_words
from .matching import CheckFilters
from .parts import write_part
from .query_table import QueryTable
from .reading import ROWS
from .row_files import FORM, write_rows
from .table_blocks import with_vectors
from .table_rows import read_table

PICTURES = 4096
"""Rows that ask with pictures, read by one worker at a time."""


def rows_as_shards(folder: str, served: Served, table: QueryTable) -> list[Shard]:
    """The rows of a table that asks with pictures, in files of a run, each for one worker. Raises as `read_table`."""
    rows = _blocks(served, table, min(served.block, IMAGE_BLOCK))
    written = write_rows(_folder(folder), rows, PICTURES)
    return [Shard(f"rows {number}", FORM, (info,)) for number, info in enumerate(written)]


def listed_rows(folder: str, served: Served, table: QueryTable) -> ListedRows:
    """The same of a table that asks with items. Raises as `read_table`."""
    written = write_rows(_folder(folder), _blocks(served, table, served.look_up_ids.at_once), ROWS)
    return ListedRows(tuple(info.path for info in written), served.combine, served.generation.metric)


def write_parts(folder: str, served: Served, table: QueryTable) -> None:
    """Makes the parts of a table that asks with vectors, which only have to be read, or with words. Raises as
    `read_table`."""
    blocks, check = _blocks(served, table, served.block), CheckFilters.of(served)
    for number, first in enumerate(blocks):
        with write_part(folder, f"{number:08}", served.generation.dim) as add:
            left = ROWS
            for rows in chain([first], blocks):
                add(check(with_vectors(rows, served.combine, served.generation.metric)))
                left -= len(rows)
                if left <= 0:
                    break


def _blocks(served: Served, table: QueryTable, size: int) -> Iterator[pa.Table]:
    generation = served.generation
    words = open_words(table, served.config, generation)
    return read_table(table, size, generation.dim, generation.encoder, words)


def _folder(folder: str) -> str:
    return files.join(folder, "table")
