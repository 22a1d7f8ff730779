"""What changed between two tables of answers, and how the changes make the later one of the earlier.

An answer is a query, an item, its rank and its score. In `changes.parquet` a query's item

- `entered`: it is among the answers, and was not;
- `left`: it was, and is no more, also where its query is gone or has failed;
- `moved`: it was and is, and its rank differs, or its score by a single bit.

Metadata are no part of an answer: they stand in the table of results, by query and item. Scores of two encoders are
not comparable, yet they are told as they are: of such a night only ranks say something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..query.tables import open_table
from ..store.database import database, take_rows
from .report import KINDS

SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("change", pa.string()),
        ("rank_before", pa.int32()),
        ("rank_after", pa.int32()),
        ("score_before", pa.float32()),
        ("score_after", pa.float32()),
    ]
)
_COLUMNS = ["query_id", "item_id", "rank", "score"]
_ROWS = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.int32()),
        ("row", pa.int64()),
    ]
)
"""Of the two tables in the database. A score is its bits: two are the same if all of these are."""
_AT_ONCE = 1 << 16
_COMPARE = """
SELECT
    query_id, item_id,
    CASE WHEN before.rank IS NULL THEN 'entered' WHEN after.rank IS NULL THEN 'left' ELSE 'moved' END,
    before.rank, after.rank, before.score, after.score
FROM before FULL JOIN after USING (query_id, item_id)
LEFT JOIN (SELECT query_id, min(row) AS place FROM after GROUP BY query_id) USING (query_id)
LEFT JOIN (SELECT query_id, min(row) AS place_before FROM before GROUP BY query_id) USING (query_id)
WHERE before.rank IS DISTINCT FROM after.rank OR before.score IS DISTINCT FROM after.score
ORDER BY place NULLS LAST, place_before, after.rank NULLS LAST, before.rank
"""
APPLY = """
SELECT query_id, rank, item_id, score FROM before ANTI JOIN changes USING (query_id, item_id)
UNION ALL
SELECT query_id, rank_after, item_id, score_after FROM changes WHERE change <> 'left'
ORDER BY query_id, rank
"""
"""The answers of today, from those of yesterday and the changes; as it is in docs/recipes/standing-queries.md."""


def write_changes(before: str | None, after: str, path: str) -> dict[str, int]:
    """Writes what changed between two tables of results, in memory that does not grow with them.

    Rows are in the order of today's queries, then of those that have answers no more; for a query in the order of
    today's ranks, then of yesterday's.

    Args:
        before: Parquet file of yesterday's results; None for none: then all of today's have entered.
        after: that of today's.
        path: of the file of changes, which appears when it is whole.

    Returns:
        Kind of change -> rows.

    Raises:
        LookalikeError: if a table is damaged, or there is no space for what does not fit into memory.
        OSError: if a file cannot be read or written.
    """
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    with database(None) as connection, open_table(path, SCHEMA, "parquet") as table:
        for name, source in (("before", before), ("after", after)):
            rows = _rows(source) if source else iter(())
            take_rows(connection, f"CREATE TABLE {name} AS FROM batches", _ROWS, rows)
        for batch in connection.sql(_COMPARE).to_arrow_reader(_AT_ONCE):
            columns = [
                c.view(f.type) if f.name.startswith("score") else c
                for c, f in zip(batch, SCHEMA, strict=True)
            ]
            counts.update(columns[2].to_pylist())
            table.write_table(pa.table(columns, schema=SCHEMA))
    return dict(counts)


def _rows(path: str) -> Iterator[pa.RecordBatch]:
    start = 0
    with files.open_read(path) as file, damage_named(path):
        for batch in pq.ParquetFile(file).iter_batches(_AT_ONCE, columns=_COLUMNS):
            query, item, rank, score = (batch.column(name) for name in _COLUMNS)
            row = pa.array(np.arange(start, start + len(batch)))
            yield pa.record_batch([query, item, rank, score.view(pa.int32()), row], schema=_ROWS)
            start += len(batch)


def apply_changes(before: pa.Table, changes: pa.Table) -> pa.Table:
    """The answers that changes make of those before, to the bit.

    Args:
        before: `query_id`, `rank`, `item_id`, `score`, as in a table of results; more columns are left aside.
        changes: as `write_changes` writes them.

    Returns:
        These four columns of the table after, by query_id, then rank.
    """
    with database(None) as connection:
        connection.register("before", before)
        connection.register("changes", changes)
        return connection.sql(APPLY).to_arrow_table()
