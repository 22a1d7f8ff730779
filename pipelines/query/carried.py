"""Columns of a query table that are carried into the results, behind the columns of the items."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lookalike.model.errors import LookalikeError

from .query_table import WHERE

_PREFIX = "query."
_TAKEN = ("query_id", "rank", "item_id", "score", "probability")
"""Columns of results, some of which are not in all of them."""


def carried_fields(columns: pa.Schema, taken: Sequence[str]) -> list[pa.Field]:
    """The fields of the results: all but the filter; one whose name is taken is called `query.NAME`.

    Args:
        columns: of `QueryBlock.columns`.
        taken: names of the other columns of the results.

    Raises:
        LookalikeError: if two would have one name.
    """
    used = {*taken, *_TAKEN}
    fields = []
    for field in columns:
        if field.name == WHERE:
            continue
        named = field.with_name(_PREFIX + field.name) if field.name in used else field
        fields.append(named)
    names = [field.name for field in fields]
    if twice := next((name for name in names if names.count(name) > 1 or name in used), None):
        raise LookalikeError(
            f"Expected columns of the query table whose names differ in the results. Received: {twice} twice"
        )
    return fields


def carried_columns(columns: pa.Table) -> list[pa.ChunkedArray]:
    """The columns of these fields, in their order."""
    return [columns[name] for name in columns.column_names if name != WHERE]
