from __future__ import annotations

import pytest

from lookalike.duplicates import limiting
from lookalike.duplicates.limiting import Others, limit, missed
from lookalike.duplicates.run import Run, opened


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with ten pairs, from 0.9 on nearer by 0.01 each, the two least near tied; two are drawn."""
    monkeypatch.setattr(limiting, "SAMPLED", 2)
    with opened(str(tmp_path), ()) as run:
        run.connection.execute(
            "CREATE TABLE near_pairs AS SELECT n + 10 AS one, n + 30 AS other, "
            "(0.9 + greatest(n, 1) / 100)::FLOAT AS near FROM range(10) AS r(n)"
        )
        yield run


def left(run: Run) -> list[int]:
    return [one - 10 for (one,) in run.connection.execute("SELECT one FROM near_pairs ORDER BY 1").fetchall()]


def test_where_there_are_no_more_all_are_looked_at(run) -> None:
    assert limit(run, 10) == Others()
    assert left(run) == list(range(10))
    assert missed(run, Others()) == 0


def test_the_nearest_are_looked_at_and_a_sample_of_the_others(run) -> None:
    others = limit(run, 4)
    assert (others.pairs, others.sampled, round(others.near, 5)) == (6, 2, 0.95)
    drawn = [one - 10 for (one,) in run.connection.execute("SELECT one FROM sampled").fetchall()]
    assert len(drawn) == 2
    assert left(run) == sorted([6, 7, 8, 9, *drawn])
    run.connection.execute(f"CREATE TABLE copies AS SELECT {drawn[0] + 10} AS one, {drawn[0] + 30} AS other")
    assert missed(run, others) == 2  # half of the other four


def test_ties_go_by_the_numbers_of_the_vectors(run) -> None:
    others = limit(run, 9)
    assert run.connection.execute("SELECT one - 10 FROM sampled").fetchall() == [(1,)]
    assert (others.pairs, others.sampled) == (1, 1)
