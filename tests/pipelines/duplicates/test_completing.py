from __future__ import annotations

from functools import partial

import numpy as np

from lookalike.duplicates.completing import complete
from lookalike.duplicates.pairs import add_all
from lookalike.duplicates.run import opened
from tests.support.numbered_shards import numbered_shards, unit


def test_groups_that_touch_are_joined_where_what_is_kept_of_them_is_alike(tmp_path) -> None:
    """Ten vectors on an arc; at first each knows its neighbours alone. Those within 0.95 of the first join it."""
    angles = np.arange(10) * 0.1
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    shards = numbered_shards(
        tmp_path, [([f"{n}" for n in range(6)], vectors[:6]), ([f"{n}" for n in range(6, 10)], vectors[6:])]
    )
    with opened(str(tmp_path / "out"), ()) as run:
        run.connection.execute(
            "CREATE TABLE numbers AS SELECT range AS vector, range AS number FROM range(10);"
            "CREATE TABLE near_pairs AS SELECT range AS one, range + 1 AS other, 0.995::FLOAT AS near FROM range(9);"
            "CREATE TABLE copies AS SELECT *, NULL::FLOAT AS correlation FROM near_pairs"
        )
        complete(run, shards, "cosine", 0.95, partial(add_all, run))
        joined = dict(run.connection.execute("SELECT member, kept FROM joined").fetchall())
        edges = run.connection.execute("SELECT first, later, near FROM edges").fetchall()
    kept = set(range(10)) - set(joined)
    near = vectors @ vectors.T
    assert all(near[member, by] >= 0.95 for member, by in joined.items())
    assert all(near[a, b] < 0.95 for a in kept for b in kept if a < b)
    assert kept == {0, 4, 8}
    assert all(abs(near[a, b] - told) < 1e-2 for a, b, told in edges)
