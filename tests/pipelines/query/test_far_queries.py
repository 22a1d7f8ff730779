"""When the query job says that queries lie where the index was not tuned."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.index.search import Matches
from lookalike.query.far_queries import FarQueries


def shard(farthest, metric="cosine"):
    return SimpleNamespace(manifest=SimpleNamespace(metric=metric, farthest=farthest))


def matches(best, width=2, metric="cosine"):
    """Matches of as many queries as `best` has scores, each behind the best one by 0.1."""
    away = 0.1 * np.arange(width) * (-1 if metric == "cosine" else 1)
    score = np.asarray(best)[:, None] + away
    query = np.repeat(np.arange(len(best)), width)
    rank = np.tile(np.arange(1, width + 1), len(best))
    return Matches(query, rank, query * 0, query * 0, score.reshape(-1).astype(np.float32))


def told(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_warning_is_given_however_many_blocks_are_far(caplog):
    far = FarQueries([shard(0.5)])
    for _ in range(3):
        far.look_at(matches([0.4] * 60 + [0.6] * 90))
    far.tell()
    (line,) = told(caplog)
    assert line.startswith("60 of 150 queries are farther from everything")
    assert "best score below 0.500" in line


def test_a_tenth_is_no_reason(caplog):
    far = FarQueries([shard(0.5)])
    far.look_at(matches([0.4] * 10 + [0.6] * 90))
    far.tell()
    assert not told(caplog)


def test_a_short_file_of_queries_is_told_of_at_its_end(caplog):
    far = FarQueries([shard(0.5)])
    far.look_at(matches([0.4, 0.3]))
    assert not told(caplog)
    far.tell()
    assert told(caplog)


def test_distances_are_far_where_they_are_large(caplog):
    far = FarQueries([shard(3.0, "euclidean")])
    far.look_at(matches([2.0] * 100, metric="euclidean"))
    far.tell()
    assert not told(caplog)
    far.look_at(matches([4.0] * 100, metric="euclidean"))
    assert "best score above 3.000" in told(caplog)[0]


@pytest.mark.parametrize(
    ("limits", "is_far"), [((0.5, 0.2), False), ((0.5, None), True), ((None, None), False)]
)
def test_a_query_is_far_when_it_is_so_for_every_index_shard_that_was_tuned(limits, is_far, caplog):
    far = FarQueries([shard(limit) for limit in limits])
    far.look_at(matches([0.4] * 100))
    assert bool(told(caplog)) == is_far


def test_a_reranked_answer_counts_by_its_best_score(caplog):
    far = FarQueries([shard(0.5)])
    answer = matches([0.6] * 100)
    far.look_at(Matches(answer.query, answer.rank, answer.shard, answer.row, answer.score[::-1].copy()))
    assert not told(caplog)


def test_no_matches_tell_nothing(caplog):
    far = FarQueries([shard(0.5)])
    far.look_at(matches([]))
    far.tell()
    assert not told(caplog)
