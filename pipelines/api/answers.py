"""Answers as Arrow tables: what a search returns, and what a query job wrote."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..filesystem.paths import AnyPath, plain
from ..query.tables import FORMATS


class Answers(NamedTuple):
    """Every query is in exactly one of the two tables.

    Attributes:
        results: `query_id`, `rank` (from 1), `item_id`, `score`, `probability` where there is a calibration, then the
            metadata of the items and the columns of a query table. By query in input order, then by rank.
        failures: `query_id`, `stage`, `error`.
    """

    results: pa.Table
    failures: pa.Table


def read_answers(out: AnyPath) -> Answers:
    """Reads what a query job wrote as Parquet.

    >>> import lookalike
    >>> found = lookalike.read_answers("answers")
    >>> found.results.num_rows, found.failures.num_rows
    (50, 0)
    >>> found.results.column_names
    ['query_id', 'rank', 'item_id', 'score', 'title', 'number']

    Args:
        out: the folder or URL that the job wrote to.

    Raises:
        LookalikeError: if there are no such tables.
        OSError: if one cannot be read.
    """
    folder = plain(out)
    return Answers(_read(folder, "results"), _read(folder, "failures"))


def _read(folder: str, name: str) -> pa.Table:
    path = files.join(folder, f"{name}.parquet")
    if not files.exists(path):
        others = [kind for kind in FORMATS if files.exists(files.join(folder, f"{name}.{kind}"))]
        received = f"{name}.{others[0]}, which has no types" if others else "none"
        raise LookalikeError(f"Expected a table {path}, which `query` writes. Received: {received}")
    with files.open_read(path) as file, damage_named(path):
        return pq.read_table(file)
