"""The groups of a table of duplicates: counts of all of them, and the members of those that a page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..duplicates.job import TABLE
from ..duplicates.results import KINDS, SCHEMA
from ..filesystem import files
from ..query.tables import FORMATS, Format, table_name
from ..store.database import database, take_rows
from .result_tables import read_blocks

MEMBERS = 20
"""Of a group on the page at most, with the one that is kept; the table has all."""
FEW = 8
"""Groups of a section."""
DOUBTFUL, GREATEST, OTHERS = "doubtful", "greatest", "others"


@dataclass(frozen=True)
class Group:
    """A group: its rows of the table, the one that is kept first, and how many there are."""

    rows: Sequence[Mapping[str, Any]]
    count: int


@dataclass(frozen=True)
class Duplicates:
    """What a table of duplicates holds.

    Attributes:
        groups: how many.
        kept: rows of those that are kept, one a group.
        kinds: kind -> items that could go, and their pixels.
        likeness: float32 (near copies,), of each the correlation or score.
        sections: name -> the groups in it, in the order in which they are shown; none is in two.
    """

    groups: int
    kept: int
    kinds: Mapping[str, tuple[int, int]]
    likeness: np.ndarray
    sections: Mapping[str, Sequence[Group]]

    @property
    def could_go(self) -> int:
        """Items that are not kept."""
        return sum(count for count, _ in self.kinds.values())

    @property
    def left_out(self) -> int:
        """Groups that are in no section."""
        return self.groups - sum(map(len, self.sections.values()))


def find_table(folder: str) -> tuple[str, Format] | None:
    """Path and format of the table of duplicates in a folder; None where there is none.

    Raises:
        LookalikeError: if there are several.
        OSError: if the folder cannot be read.
    """
    found = [(form, files.join(folder, table_name(TABLE, form))) for form in FORMATS]
    there = [(path, form) for form, path in found if files.exists(path)]
    if not there:
        return None
    if len(there) > 1:
        raise LookalikeError(
            f"Expected duplicates in one format in {folder}. Received: {', '.join(form for _, form in there)}; delete "
            "those of before"
        )
    return there[0]


def read_groups(path: str, form: Format, most: int, by: str, *, is_distance: bool = False) -> Duplicates:
    """Reads the table once, as a stream; what does not fit into memory is spilled.

    Args:
        path: of the table.
        form: of it.
        most: groups in all sections together.
        by: the column that tells how like a near copy is, `correlation` or `score`.
        is_distance: whether the least of these is the nearest.

    Raises:
        LookalikeError: if the table is damaged, or none of duplicates, or there is no space to spill.
        OSError: if it cannot be read.
    """
    likeness_of = f"CASE WHEN kind = 'near copy' THEN {by} END"
    with database(None) as connection:
        take_rows(connection, "CREATE TABLE found AS SELECT * FROM batches", SCHEMA, _rows(path, form))
        order = "DESC" if is_distance else "ASC"
        farthest = "max" if is_distance else "min"
        connection.execute(
            f'CREATE TABLE groups AS SELECT "group" AS id, count(*) AS members, {farthest}({likeness_of}) AS likeness '
            'FROM found GROUP BY "group"'
        )
        (groups,) = connection.execute("SELECT count(*) FROM groups").fetchone() or (0,)
        (kept,) = connection.execute("SELECT count(*) FROM found WHERE keep").fetchone() or (0,)
        counted = connection.execute(
            "SELECT kind, count(*), coalesce(sum(width::BIGINT * height), 0) FROM found WHERE NOT keep GROUP BY kind"
        ).fetchall()
        kinds = {kind: (int(count), int(pixels)) for kind, count, pixels in counted}
        likeness = connection.execute(
            f"SELECT {likeness_of} AS one FROM found WHERE one IS NOT NULL"
        ).fetchnumpy()

        def numbers(where: str, ordered: str, wanted: int) -> list[int]:
            statement = f"SELECT id FROM groups WHERE {where} ORDER BY {ordered}, id LIMIT {max(0, wanted)}"
            return [int(number) for (number,) in connection.execute(statement).fetchall()]

        def free(taken: Sequence[int]) -> str:
            return f"id NOT IN ({', '.join(map(str, taken))})" if taken else "true"

        few = min(FEW, max(1, int(groups) // 4))
        doubtful = numbers("likeness IS NOT NULL", f"likeness {order}", min(few, most))
        greatest = numbers(
            f"members > 2 AND {free(doubtful)}", "members DESC", min(few, most - len(doubtful))
        )
        taken = [*doubtful, *greatest]
        others = numbers(free(taken), "members DESC", most - len(taken))
        shown = _members(connection, [*taken, *others])
    sections = {DOUBTFUL: doubtful, GREATEST: greatest, OTHERS: others}
    return Duplicates(
        groups=int(groups),
        kept=int(kept),
        kinds={kind: kinds.get(kind, (0, 0)) for kind in KINDS},
        likeness=np.asarray(likeness["one"], np.float32),
        sections={name: [shown[number] for number in ids] for name, ids in sections.items()},
    )


def _members(connection: Any, groups: Sequence[int]) -> dict[int, Group]:
    """Group -> its first members, the one that is kept in front."""
    if not groups:
        return {}
    rows = connection.sql(
        "SELECT * FROM (SELECT *, count(*) OVER one AS members, row_number() OVER (one ORDER BY keep DESC, "
        "correlation DESC NULLS LAST, item_id) AS turn "
        f'FROM found WHERE "group" IN ({", ".join(map(str, groups))}) WINDOW one AS (PARTITION BY "group")) '
        f'WHERE turn <= {MEMBERS} ORDER BY "group", turn'
    ).to_arrow_table()
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["group"], []).append(row)
    return {number: Group(of, of[0]["members"]) for number, of in found.items()}


def _rows(path: str, form: Format) -> Iterator[pa.RecordBatch]:
    for block in read_blocks(path, form):
        if missing := [name for name in SCHEMA.names if name not in block.column_names]:
            raise LookalikeError(
                f"Expected a table of `lookalike duplicates` in {path}. Received: one without {', '.join(missing)}"
            )
        try:
            table = block.select(SCHEMA.names).cast(SCHEMA)
        except pa.ArrowException as error:
            raise LookalikeError(
                f"Expected a table of `lookalike duplicates` in {path}. Received: {error}"
            ) from None
        yield from table.combine_chunks().to_batches()
