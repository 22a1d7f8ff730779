"""Maximal marginal relevance, against its definition taken step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index.diversity import diverse_order
from lookalike.index.scores import checked


def step_by_step(near, vectors, metric, balance, k):
    """As Carbonell and Goldstein write it."""

    def like(a, b):
        return float(a @ b) if metric == "cosine" else -float(np.linalg.norm(a - b))

    chosen = []
    while len(chosen) < min(k, len(near)):
        worth = {
            i: balance * near[i]
            - (1 - balance) * max((like(vectors[i], vectors[j]) for j in chosen), default=0)
            for i in range(len(near))
            if i not in chosen
        }
        chosen.append(max(worth, key=lambda i: (round(worth[i], 5), -i)))
    return chosen


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@given(seed=st.integers(0, 99), balance=st.sampled_from([0.0, 0.3, 0.7, 1.0]), k=st.integers(1, 9))
def test_each_is_the_best_of_those_that_are_left(metric, seed, balance, k):
    random = np.random.default_rng(seed)
    vectors = checked(random.standard_normal((7, 3)).round(1) + 0.05, metric)
    counts, start = [4, 3], 0
    near, rows = np.full((2, 4), -np.inf, np.float32), np.full((2, 4), -1)
    for query, count in enumerate(counts):
        near[query, :count] = -np.sort(-random.uniform(-1, 1, count)).round(2)
        rows[query, :count] = np.arange(start, start + count)
        start += count
    order = diverse_order(near, rows, vectors, metric, balance, k)
    assert order.shape == (2, min(k, 4))
    for query, count in enumerate(counts):
        of_query = vectors[rows[query, :count]]
        expected = step_by_step(near[query, :count].astype(float), of_query, metric, balance, k)
        assert order[query, : len(expected)].tolist() == expected
        assert (rows[query, order[query, len(expected) :]] == -1).all()


def test_a_copy_comes_after_what_is_less_near_but_new():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    near, rows = np.array([[0.9, 0.9, 0.4]], np.float32), np.array([[0, 1, 2]])
    assert diverse_order(near, rows, vectors, "cosine", 0.5, 3).tolist() == [[0, 2, 1]]
    assert diverse_order(near, rows, vectors, "cosine", 1.0, 3).tolist() == [[0, 1, 2]]


def test_where_no_query_has_a_match_there_is_nothing_to_choose():
    near, rows = np.full((2, 3), -np.inf, np.float32), np.full((2, 3), -1)
    order = diverse_order(near, rows, np.empty((0, 2), np.float32), "cosine", 0.5, 2)
    assert order.tolist() == [[0, 1], [0, 1]]


def test_an_order_that_re_ranking_made_stays_where_nothing_is_to_be_diverse():
    vectors = np.eye(3, dtype=np.float32)
    near, rows = np.array([[0.2, 0.9, 0.5]], np.float32), np.array([[0, 1, 2]])
    assert diverse_order(near, rows, vectors, "cosine", 1.0, 2).tolist() == [[0, 1]]
