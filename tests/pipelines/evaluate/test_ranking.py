"""The exact ranking against a sort in NumPy, with ties, junk and items that are taken down."""

import numpy as np
import pyarrow as pa
import pytest

from lookalike.evaluate import ranking
from lookalike.evaluate.ranking import RankedCorpus
from tests.support.index_shards import shard_of

RNG = np.random.default_rng(5)


def corpus(*shards, metric="cosine", hidden=()):
    return RankedCorpus([shard_of(*one, metric) for one in shards], metric, pa.array(hidden, pa.string()))


def order(of: RankedCorpus, queries, junk=None, top=100):
    """Ids in order of rank, of each query."""
    queries = np.asarray(queries, np.float32)
    grades = np.zeros((len(queries), len(of)), np.int8)
    for row, column in junk or ():
        grades[row, column] = -1
    found = of.ranked(of.keys(queries), grades, top)
    ids = of.items["item_id"].to_pylist()
    return [[ids[column] for column in row if column >= 0] for row in found.columns]


def unit(n, dim=8):
    vectors = RNG.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_order_over_several_shards_is_that_of_numpy(metric):
    vectors = unit(300) if metric == "cosine" else RNG.normal(1000, 5, (300, 8)).astype(np.float32)
    queries = vectors[:20] + 0.1 * RNG.normal(size=(20, 8)).astype(np.float32)
    ids = [f"i{n:03}" for n in RNG.permutation(300)]
    of = corpus((ids[:100], vectors[:100]), (ids[100:], vectors[100:]), ([], np.empty((0, 8))), metric=metric)
    exact = vectors.astype(np.float64)
    if metric == "cosine":
        near = queries.astype(np.float64) @ exact.T
    else:
        near = -np.linalg.norm(queries[:, None].astype(np.float64) - exact, axis=2)
    expected = [[ids[i] for i in np.argsort(-row)] for row in near]
    assert order(of, queries, top=300) == expected


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_copies_of_one_picture_are_tied_wherever_they_lie_and_go_by_id(metric):
    one = unit(1, 256)[0]
    others = unit(20_000, 256)
    places = RNG.choice(20_000, 50, replace=False)
    others[places] = one
    ids = np.array([f"x{n:05}" for n in RNG.permutation(20_000)])
    half = 9_999
    of = corpus((ids[:half], others[:half]), (ids[half:], others[half:]), metric=metric)
    found = order(of, [one, 0.9 * one + 0.1 * unit(1, 256)[0]], top=50)
    assert found == [sorted(ids[places])] * 2


def test_ids_are_ordered_as_utf_8_bytes():
    ids = ["b", "ä", "B", "a", "\U0001f600", "\uffff"]
    found = order(corpus((ids, np.ones((6, 2)))), np.ones((1, 2)))
    assert found == [["B", "a", "b", "ä", "\uffff", "\U0001f600"]]


def test_junk_leaves_the_ranking_of_its_query_only_and_the_rest_moves_up():
    vectors = [[1, 0], [0.9, 0.1], [0.8, 0.2], [0, 1]]
    of = corpus((["a", "b", "c", "d"], vectors), metric="euclidean")
    assert order(of, [[1, 0], [1, 0]], junk=[(0, 0), (0, 2)]) == [["b", "d"], ["a", "b", "c", "d"]]
    grades = np.array([[-1, 0, 1, 2]], np.int8)
    found = of.ranked(of.keys(np.array([[1, 0]], np.float32)), grades, 2)
    assert found.grades.tolist() == [[0, 1, 2, 0]]
    assert found.columns.tolist() == [[1, 2]]


def test_a_query_whose_whole_corpus_is_junk_has_no_ranks():
    of = corpus((["a", "b"], [[1, 0], [0, 1]]))
    found = of.ranked(of.keys(np.array([[1, 0]], np.float32)), np.full((1, 2), -1, np.int8), 5)
    assert found.columns.tolist() == [[-1, -1]]
    assert found.grades.tolist() == [[0, 0]]


def test_what_is_taken_down_is_not_in_the_corpus():
    of = corpus((["a", "b"], [[1, 0], [0, 1]]), (["c"], [[1, 1]]), hidden=["b", "unknown"])
    assert order(of, [[0, 1]]) == [["c", "a"]]
    assert of.numbers_of(["a", "b", "c"]).tolist() == [0, -1, 1]


def test_the_block_size_bounds_the_scores_that_are_held(monkeypatch):
    of = corpus((["a", "b"], [[1, 0], [0, 1]]))
    assert of.queries_at_once == ranking.QUERIES_AT_ONCE
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 1)
    assert of.queries_at_once == 1


def test_hidden_rows_are_not_ranked():
    vectors = unit(6)
    base = shard_of(list("abcd"), vectors[:4])
    base.hidden = np.array([1, 3])
    of = RankedCorpus([base, shard_of(list("bd"), vectors[4:])], "cosine", pa.array([], pa.string()))
    expected = corpus((list("acbd"), vectors[[0, 2, 4, 5]]))
    assert of.items.equals(expected.items)
    assert order(of, vectors) == order(expected, vectors)
    np.testing.assert_array_equal(of.vectors_of(np.arange(4)), expected.vectors_of(np.arange(4)))
