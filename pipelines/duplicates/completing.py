"""Groups that belong together, though nothing compared what is kept of them: more copies than a vector has neighbours.

Of many crops of one picture each is nearest to other crops. Where two groups touch, in two members that are copies of
each other, the two that are kept are compared as any pair is, and where they are copies too, one joins the other. What
had joined it looks for its place again; so it goes on until no two groups that touch can be joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ..index.scores import checked, nearness, pair_scores
from ..store.database import take_rows
from ..store.index_manifest import Metric
from .catalogues import NumberedShard, vectors_of
from .neighbours import PAIRS
from .results import join_copies
from .run import Run, rows_of

_TOUCHING = """
CREATE OR REPLACE TABLE touching AS
WITH places AS (SELECT number, coalesce(kept, number) AS place FROM numbers LEFT JOIN joined ON number = member)
SELECT DISTINCT least(k.vector, l.vector) AS one, greatest(k.vector, l.vector) AS other
FROM edges JOIN places AS a ON first = a.number JOIN places AS b ON later = b.number
JOIN numbers AS k ON a.place = k.number JOIN numbers AS l ON b.place = l.number
WHERE a.place <> b.place
"""


def complete(
    run: Run, shards: Sequence[NumberedShard], metric: Metric, least: float, judge: Callable[[], None]
) -> None:
    """Joins copies, and groups that touch; makes `edges` and `joined`.

    Args:
        run: with the tables `numbers` and `copies`.
        shards: of the catalogue.
        metric: of its vectors.
        least: how near two vectors must be.
        judge: adds to `copies` those of the pairs in the table `beyond` that are copies.

    Raises:
        LookalikeError, OSError: as comparing does.
    """
    connection = run.connection
    connection.execute("CREATE TABLE beyond (one BIGINT, other BIGINT, near FLOAT)")
    connection.execute("CREATE TABLE tried (one BIGINT, other BIGINT)")
    while True:
        join_copies(run)
        connection.execute(_TOUCHING)
        connection.execute(
            "DELETE FROM touching USING tried WHERE touching.one = tried.one AND touching.other = tried.other"
        )
        connection.execute("INSERT INTO tried FROM touching")
        connection.execute("DELETE FROM beyond")
        for batch in rows_of(
            connection, "SELECT one, other FROM touching ANTI JOIN near_pairs USING (one, other) ORDER BY ALL"
        ):
            near = _near(shards, metric, batch)
            rows = pa.record_batch([*batch.columns, pa.array(near)], schema=PAIRS)
            rows = rows.filter(pa.array(near >= least))
            # A statement of this connection would end the reading of the other.
            take_rows(connection.cursor(), "INSERT INTO beyond FROM batches", PAIRS, iter([rows]))
        before = connection.execute("SELECT count(*) FROM copies").fetchall()
        judge()
        if connection.execute("SELECT count(*) FROM copies").fetchall() == before:
            return


def _near(shards: Sequence[NumberedShard], metric: Metric, pairs: pa.RecordBatch) -> np.ndarray:
    """How near the vectors of pairs are, float32 (pairs,)."""
    one, other = (column.to_numpy() for column in pairs.columns)
    numbers, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    vectors = checked(vectors_of(shards, numbers), metric)
    scores = pair_scores(vectors, vectors[places[: len(one)]], places[len(one) :, None], metric)
    return np.asarray(nearness(scores, metric)[:, 0], np.float32)
