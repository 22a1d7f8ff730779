"""The groups as a table: who is in them, who is kept, and how each is like the one that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ..query.tables import Format, open_table
from .grouping import join_nearest, kept
from .keeping import Keeper
from .run import Run, number_of, rows_of

SCHEMA = pa.schema(
    [
        ("group", pa.int64()),
        ("item_id", pa.string()),
        ("keep", pa.bool_()),
        ("kind", pa.string()),
        ("score", pa.float32()),
        ("correlation", pa.float32()),
        ("representative_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
KINDS = ("equal bytes", "equal pixels", "near copy")
_ROUNDING = 1e-6
"""A cosine that is nearer to 1 is 1: so what lies in one index shard scores as what lies in two."""


@dataclass(frozen=True)
class Groups:
    """What was found.

    Attributes:
        groups: how many groups there are.
        members: items that are not kept, by kind.
    """

    groups: int
    members: dict[str, int]


def order_items(run: Run, rule: Keeper) -> None:
    """Makes `ordered`, items with their turn by the rule, and `numbers`, vectors in the order of their first item."""
    run.connection.execute(
        f"CREATE TABLE ordered AS SELECT items.*, pixels, row_number() OVER (ORDER BY side DESC, {rule.order}) AS turn "
        "FROM items LEFT JOIN looks USING (item)"
    )
    run.connection.execute(
        "CREATE TABLE numbers AS SELECT vector, arg_min(item, turn) AS face, "
        "row_number() OVER (ORDER BY min(turn)) - 1 AS number FROM ordered GROUP BY vector"
    )


def join_copies(run: Run) -> None:
    """Makes `edges`, which are `copies` by their numbers, and `joined`: see `grouping`."""
    connection = run.connection
    connection.execute(
        "CREATE OR REPLACE TABLE edges AS SELECT least(a.number, b.number) AS first, "
        "greatest(a.number, b.number) AS later, near, correlation "
        "FROM copies JOIN numbers AS a ON one = a.vector JOIN numbers AS b ON other = b.vector"
    )
    join_nearest(connection, kept(connection, number_of(connection, "SELECT count(*) FROM numbers")))


def make_groups(run: Run, metric: str, *, against: bool) -> Groups:
    """Makes the table `results` with the columns of `SCHEMA` from `ordered`, `numbers` and `joined`.

    Args:
        run: the run.
        metric: cosine or euclidean, of the scores.
        against: whether what is kept is of the other catalogue, and the rest of this one.
    """
    connection = run.connection
    exact = 1.0 if metric == "cosine" else 0.0
    score = f"CASE WHEN near >= 1 - {_ROUNDING} THEN 1 ELSE near END" if metric == "cosine" else "-near"
    which = "o.side = 0 AND f.side = 1 OR o.item = f.item" if against else "true"
    connection.execute(
        f"CREATE TABLE results AS WITH found AS (SELECT o.side, o.item_id, o.item = f.item AS keep, CASE "
        "WHEN o.item = f.item THEN NULL WHEN o.content_hash = f.content_hash THEN 'equal bytes' "
        "WHEN o.pixels = f.pixels THEN 'equal pixels' ELSE 'near copy' END AS kind, "
        f"(CASE WHEN kept IS NULL THEN {exact} ELSE {score} END)::FLOAT AS score, coalesce(near, 1) AS near, "
        "CASE WHEN o.content_hash = f.content_hash OR o.pixels = f.pixels THEN 1 ELSE correlation END::FLOAT "
        "AS correlation, "
        "f.item_id AS representative_id, f.item AS representative, o.width, o.height "
        "FROM ordered AS o JOIN numbers AS n USING (vector) LEFT JOIN joined ON n.number = member "
        "JOIN numbers AS k ON k.number = coalesce(kept, n.number) JOIN ordered AS f ON f.item = k.face "
        f"WHERE {which} QUALIFY count(*) OVER (PARTITION BY f.item) > 1) "
        'SELECT dense_rank() OVER (ORDER BY representative_id) AS "group", * FROM found'
    )
    members = connection.execute("SELECT kind, count(*) FROM results WHERE NOT keep GROUP BY kind").fetchall()
    groups = number_of(connection, 'SELECT count(DISTINCT "group") FROM results')
    return Groups(groups, {kind: dict(members).get(kind, 0) for kind in KINDS})


def write_groups(run: Run, path: str, table_format: Format, made_by: dict[str, str]) -> None:
    """Writes the table, sorted by group, what is kept first, then by score. Raises OSError; then it is not there."""
    schema = SCHEMA.with_metadata(made_by)
    columns = ", ".join(f'"{name}"' for name in SCHEMA.names)
    statement = f'SELECT {columns} FROM results ORDER BY "group", keep DESC, near DESC, item_id'
    with open_table(path, schema, table_format) as table:
        for batch in rows_of(run.connection, statement):
            table.write_table(pa.table(batch.columns, schema=schema))
