"""When the query job says that queries lie where the index was not tuned."""

import logging
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.answers import Answers
from lookalike.query.far_queries import FarQueries


def manifest(farthest, metric="cosine"):
    return SimpleNamespace(metric=metric, farthest=farthest)


def answers(best, width=2, metric="cosine"):
    """Answers to as many queries as `best` has scores, each behind the best one by 0.1."""
    near = np.float32(best) if metric == "cosine" else -np.float32(best)
    return Answers(near[:, None] - 0.1 * np.arange(width, dtype=np.float32), pa.table({}))


def told(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_warning_is_given_however_many_blocks_are_far(caplog):
    far = FarQueries([manifest(0.5)])
    for _ in range(3):
        far.look_at(answers([0.4] * 60 + [0.6] * 90))
    far.tell()
    (line,) = told(caplog)
    assert line.startswith("60 of 150 queries are farther from everything")
    assert "best score below 0.500" in line


def test_a_fifth_is_no_reason(caplog):
    far = FarQueries([manifest(0.5)])
    far.look_at(answers([0.4] * 20 + [0.6] * 80))
    far.tell()
    assert not told(caplog)


def test_a_short_file_of_queries_is_told_of_at_its_end(caplog):
    far = FarQueries([manifest(0.5)])
    far.look_at(answers([0.4, 0.3]))
    assert not told(caplog)
    far.tell()
    assert told(caplog)


def test_distances_are_far_where_they_are_large(caplog):
    far = FarQueries([manifest(3.0, "euclidean")])
    far.look_at(answers([2.0] * 100, metric="euclidean"))
    far.tell()
    assert not told(caplog)
    far.look_at(answers([4.0] * 100, metric="euclidean"))
    assert "best score above 3.000" in told(caplog)[0]


@pytest.mark.parametrize(
    ("limits", "is_far"), [((0.5, 0.2), False), ((0.5, None), True), ((None, None), False)]
)
def test_a_query_is_far_when_it_is_so_for_every_index_shard_that_was_tuned(limits, is_far, caplog):
    far = FarQueries([manifest(limit) for limit in limits])
    far.look_at(answers([0.4] * 100))
    assert bool(told(caplog)) == is_far


def test_a_reranked_answer_counts_by_its_best_score(caplog):
    far = FarQueries([manifest(0.5)])
    far.look_at(Answers(answers([0.6] * 100).near[:, ::-1], pa.table({})))
    assert not told(caplog)


def test_no_matches_tell_nothing(caplog):
    far = FarQueries([manifest(0.5)])
    far.look_at(answers([]))
    far.tell()
    assert not told(caplog)
