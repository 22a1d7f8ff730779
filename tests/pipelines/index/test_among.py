"""Exact search among some vectors, against exact search of an index of those alone."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.index import among
from lookalike.index.among import nearest_among
from lookalike.index.cheapest import build
from lookalike.index.scores import checked
from lookalike.index.tuning import BuildOptions


@pytest.mark.parametrize("few", [0, 1 << 14])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_as_an_index_of_these_vectors_alone_would_answer(monkeypatch, metric, kind, few):
    monkeypatch.setattr(among, "_FEW", few)
    monkeypatch.setattr(among, "_GATHERED_BYTES", 1024 * 4 * 5)  # 1,024 at once
    random = np.random.default_rng(0)
    vectors = random.standard_normal((5000, 5))
    searcher = build(vectors, metric, BuildOptions(threads=1, bytes=kind))
    numbers = np.sort(random.choice(5000, 2500, replace=False))
    numbers = np.union1d(numbers, np.arange(2000, 3100))  # what is compared at once has no gap, once
    at_the_seams = vectors[numbers[[0, 1023, 1024, 2047, -1]]]
    queries = checked(np.concatenate([random.standard_normal((7, 5)), at_the_seams]), metric)
    rows, scores = nearest_among(searcher, numbers, queries, 9)
    everything, all_scores = searcher.search(queries, 5000, exact=True)
    for found, score, every, of_all in zip(rows, scores, everything, all_scores, strict=True):
        kept = np.isin(every, numbers)
        np.testing.assert_array_equal(score, of_all[kept][:9])
        np.testing.assert_array_equal(found, every[kept][:9])


def test_fewer_than_wanted_are_told():
    searcher = build(np.eye(4, dtype=np.float32), "cosine", BuildOptions(threads=1))
    rows, scores = nearest_among(searcher, np.array([1, 3]), np.eye(4, dtype=np.float32)[:1], 3)
    assert rows.tolist() == [[1, 3, -1]]
    assert np.isnan(scores[0]).tolist() == [False, False, True]
    rows, _ = nearest_among(searcher, np.empty(0, np.int64), np.eye(4, dtype=np.float32)[:1], 1)
    assert rows.tolist() == [[-1]]
