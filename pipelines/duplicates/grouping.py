"""Pairs to groups that do not chain: each member is near the one that is kept.

Items go in the order of the rule that says what is kept. One that is near no kept item before it is kept itself, the
others join the nearest kept item before them. So of any two that are kept, neither is near the other (where A is like B
and B like C, but A not like C, and B is the least of them, A and C are both kept), and the one that is kept is the
first of its group by the rule. It is the maximal independent set that is first in lexicographic order (Blelloch,
Fineman and Shun 2012), and depends on nothing but the order and the pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .run import rows_of

if TYPE_CHECKING:
    import duckdb


def kept(connection: duckdb.DuckDBPyConnection, count: int, only_of: np.ndarray | None = None) -> np.ndarray:
    """Which of `count` things are kept, bool (count,); their numbers are their order.

    Args:
        connection: with a table `edges` of `first` and `later`, numbers of two that are near, `first` < `later`.
        count: how many there are.
        only_of: bool (count,): those that may be kept; None for all.
    """
    joins = np.zeros(count, bool) if only_of is None else ~only_of
    for batch in rows_of(connection, "SELECT first, later FROM edges ORDER BY first, later"):
        first, later = (column.to_numpy() for column in batch.columns)
        starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
        ends = np.append(starts[1:], len(first))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            # All that could make it join another came before it.
            if not joins[first[start]]:
                joins[later[start:end]] = True
    return ~joins


def join_nearest(connection: duckdb.DuckDBPyConnection, is_kept: np.ndarray) -> None:
    """Makes a table `joined` of `member`, `kept`, `near` and `correlation`: each joins the nearest before it.

    Args:
        connection: with the table `edges`, which has `near` and `correlation` too.
        is_kept: see `kept`.
    """
    connection.register("kept_ones", pa.table({"number": np.flatnonzero(is_kept)}))
    connection.execute(
        "CREATE OR REPLACE TABLE joined AS "
        "SELECT DISTINCT ON (later) later AS member, first AS kept, near, correlation FROM edges "
        "SEMI JOIN kept_ones ON first = number ORDER BY later, near DESC, first"
    )
    connection.unregister("kept_ones")
