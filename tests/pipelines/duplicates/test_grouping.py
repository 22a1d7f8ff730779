from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.duplicates.grouping import join_nearest, kept
from lookalike.store.database import database


def grouped(count: int, pairs: dict[tuple[int, int], float]) -> tuple[list[bool], dict[int, int]]:
    """Whether each is kept, and whom the others join."""
    ordered = sorted(pairs)
    table = pa.table(
        {
            "first": pa.array([a for a, _ in ordered], pa.int64()),
            "later": pa.array([b for _, b in ordered], pa.int64()),
            "near": pa.array([pairs[pair] for pair in ordered], pa.float32()),
            "correlation": pa.nulls(len(ordered), pa.float32()),
        }
    )
    with database(None) as connection:
        connection.register("given_edges", table)
        connection.execute("CREATE TABLE edges AS FROM given_edges ORDER BY random()")
        is_kept = kept(connection, count)
        join_nearest(connection, is_kept)
        joined = connection.execute("SELECT member, kept FROM joined").fetchall()
    return is_kept.tolist(), dict(joined)


def test_a_chain_is_cut() -> None:
    # 0 - 1 - 2 - 3 - 4: each is near the next only.
    is_kept, joined = grouped(5, {(n, n + 1): 0.9 for n in range(4)})
    assert is_kept == [True, False, True, False, True]
    assert joined == {1: 0, 3: 2}


def test_a_member_joins_the_nearest_that_comes_before_it() -> None:
    is_kept, joined = grouped(4, {(0, 2): 0.91, (1, 2): 0.95, (2, 3): 0.99})
    assert is_kept == [True, True, False, True]
    assert joined == {2: 1}  # and not 3, which is nearer, but comes later


def test_nothing_that_is_near_nothing_joins() -> None:
    assert grouped(3, {}) == ([True, True, True], {})


@st.composite
def graphs(draw) -> tuple[int, dict[tuple[int, int], float]]:
    count = draw(st.integers(2, 12))
    every = [(a, b) for b in range(count) for a in range(b)]
    chosen = draw(st.lists(st.sampled_from(every), unique=True))
    return count, {pair: draw(st.sampled_from([0.5, 0.75, 0.9])) for pair in chosen}


@settings(max_examples=25)
@given(graphs())
def test_groups_are_those_of_the_plain_loop(graph) -> None:
    count, pairs = graph
    expected: list[bool] = []
    for number in range(count):
        expected.append(not any(expected[a] for a in range(number) if (a, number) in pairs))
    is_kept, joined = grouped(count, pairs)
    assert is_kept == expected
    for number in np.flatnonzero(~np.array(expected)).tolist():
        near = {a: pairs[a, number] for a in range(number) if expected[a] and (a, number) in pairs}
        assert joined[number] == min(near, key=lambda a: (-near[a], a))
    assert set(joined) == {n for n in range(count) if not expected[n]}
