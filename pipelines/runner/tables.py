"""Tables for people: rows in columns, with headings."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from lookalike.model.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 1000
"""Of a table where there is no terminal: nothing is folded there."""


def make_table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Collection[int] = ()
) -> Table:
    """A table to print with `rich.console.Console`.

    Args:
        headings: of the columns.
        rows: cells that are shown as `str` gives them.
        numbers: positions of the columns that are aligned to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        made.add_column(
            Text(printable(heading)), justify="right" if number in numbers else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    return made


def table_as_text(table: Table) -> str:
    """A table as lines of plain text."""
    from rich.console import Console

    written = io.StringIO()
    Console(file=written, width=WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())
