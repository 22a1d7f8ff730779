"""What the rows of a query table show: the pictures, or the items, that queries ask with, to be looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.images.boxes import Box, PartOfImage

from ..sources import SourceOptions
from .query_table import QueryTable
from .table_blocks import UnreadableError, pictures_of
from .table_rows import read_table

_ROWS = 64
"""Rows that are read at a time; pictures may stand in them."""


def table_pictures(
    table: QueryTable, options: SourceOptions, query_ids: Collection[str]
) -> Iterator[tuple[str, bytes | PartOfImage]]:
    """Query id and the picture of its first row, of a table that has pictures; none of rows that ask nothing.

    Args:
        table: to read.
        options: how large an image may be.
        query_ids: wanted.

    Raises:
        LookalikeError, OSError: as `read_table`.
    """
    for rows in _first_rows(table, query_ids):
        names, boxes = rows.column(0), rows.column(3)
        for row, data in pictures_of(rows, options):
            if not isinstance(data, UnreadableError):
                edges = boxes[row].as_py()
                yield names[row].as_py(), PartOfImage(data, Box(*edges)) if edges else data


def table_items(table: QueryTable, query_ids: Collection[str]) -> dict[str, str]:
    """Query id -> id of the item of its first row, of a table that asks with items. Raises as `read_table`."""
    found: dict[str, str] = {}
    for rows in _first_rows(table, query_ids):
        asked = zip(rows.column(0).to_pylist(), rows.column(2).to_pylist(), strict=True)
        found.update((query_id, item_id) for query_id, item_id in asked if item_id)
    return found


def _first_rows(table: QueryTable, query_ids: Collection[str]) -> Iterator[pa.Table]:
    """The first row of each wanted query, some at a time."""
    missing = set(query_ids)
    for rows in read_table(table, _ROWS, 1, ""):
        if not missing:
            return
        kept = []
        for row, name in enumerate(rows.column(0).to_pylist()):
            if name in missing:
                missing.remove(name)
                kept.append(row)
        if kept:
            yield pc.take(rows, pa.array(kept))
