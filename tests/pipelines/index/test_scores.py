"""What may be scored, and one formula that gives equal vectors equal scores."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.index import scores as scores_module
from lookalike.index.scores import centre, checked, lengths_of, nearness, pair_scores, radius
from lookalike.model.errors import LookalikeError


def rows(count: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def test_equal_vectors_get_equal_scores_wherever_they_stand():
    vectors = checked(rows(999, dim=37), "cosine")
    vectors[::7] = vectors[0]
    queries = checked(rows(501, dim=37, seed=1), "cosine")
    places = np.arange(0, 999, 7)
    for metric in ("cosine", "euclidean"):
        scores = pair_scores(vectors, queries, np.tile(places, (501, 1)), metric, threads=2)
        assert (scores == scores[:, :1]).all()
        one = pair_scores(vectors[7:8].copy(), queries[200:201], np.zeros((1, 1), np.int64), metric)
        assert one.item() == scores[200, 0]


def test_unit_vectors_are_kept_to_the_bit():
    vectors = checked(rows(100), "cosine")
    np.testing.assert_array_equal(checked(vectors, "cosine"), vectors)


def test_scores_are_the_cosine_and_the_distance_and_nothing_for_no_row():
    vectors = np.float32([[1, 0], [0, 1], [0.6, 0.8]])
    queries = np.float32([[1, 0], [0, -1]])
    places = np.array([[0, 2, -1], [1, -1, 0]])
    np.testing.assert_allclose(
        pair_scores(vectors, queries, places, "cosine"), [[1, 0.6, np.nan], [-1, np.nan, 0]], atol=1e-7
    )
    np.testing.assert_allclose(
        pair_scores(vectors, queries, places, "euclidean"),
        [[0, np.sqrt(0.8), np.nan], [2, np.nan, np.sqrt(2)]],
        atol=1e-6,
    )


def test_threads_and_blocks_change_no_score(monkeypatch):
    vectors, queries = rows(50), rows(33, seed=1)
    places = np.random.default_rng(2).integers(-1, 50, (33, 4))
    whole = pair_scores(vectors, queries, places, "euclidean")
    monkeypatch.setattr(scores_module, "_GATHERED", 1)
    np.testing.assert_array_equal(pair_scores(vectors, queries, places, "euclidean", threads=3), whole)


def test_without_vectors_or_places_there_are_no_scores():
    assert np.isnan(pair_scores(rows(0), rows(2), np.zeros((2, 3), np.int64), "cosine")).all()
    assert pair_scores(rows(2), rows(0), np.zeros((0, 3), np.int64), "cosine").shape == (0, 3)


def test_rows_are_scaled_for_the_cosine_only():
    vectors = np.array([[3, 4], [1, 0]])
    np.testing.assert_allclose(checked(vectors, "cosine"), [[0.6, 0.8], [1, 0]], atol=1e-7)
    np.testing.assert_array_equal(checked(vectors, "euclidean"), vectors)


@pytest.mark.parametrize(
    ("vectors", "metric", "dim", "said"),
    [
        ([[1, 2], [np.nan, 1]], "euclidean", None, r"query 1 of 2 has nan at position 0"),
        ([[1, 2], [3, -np.inf]], "euclidean", None, r"query 1 of 2 has -inf at position 1"),
        ([[1, 2], [0, 0]], "cosine", None, r"query 1 of 2 is zero"),
        ([1, 2], "cosine", None, r"Expected query rows of shape \(n, dim\)\. Received: shape \(2,\)"),
        ([[1, 2]], "cosine", 3, r"of shape \(n, 3\)\. Received: shape \(1, 2\)"),
        (np.empty((3, 0)), "cosine", None, r"Received: shape \(3, 0\)"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_row(vectors, metric, dim, said):
    with pytest.raises(LookalikeError, match=said):
        checked(np.array(vectors), metric, dim=dim, what="query")


EXTREMES = np.float32([1e-45, 1e-38, 1e-30, 1e-19, 1e-10, 1, 1e10, 1e19, 1e30, 3e38])


@pytest.mark.parametrize("scale", EXTREMES)
def test_scores_are_right_whatever_the_length_of_vectors(scale):
    """Within what float32 can tell of them: the smallest numbers have few bits."""
    with np.errstate(under="ignore"):
        vectors, queries = rows(40, seed=1) * 0.2 * scale, rows(7, seed=2) * 0.2 * scale
    pairs = np.broadcast_to(np.arange(40), (7, 40))
    expected = np.linalg.norm(vectors.astype(np.float64) - queries[:, None], axis=2)
    found = pair_scores(vectors, queries, pairs, "euclidean", 2)
    highest = float(np.finfo(np.float32).max)
    np.testing.assert_allclose(found, np.minimum(expected, highest), rtol=1e-6, atol=1.5e-45)
    np.testing.assert_allclose(
        lengths_of(vectors), np.linalg.norm(vectors.astype(np.float64), axis=1), rtol=1e-6
    )
    if vectors.any(axis=1).all():
        unit = checked(vectors, "cosine")
        exact = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        np.testing.assert_allclose(unit, exact, atol=2e-7)
    away = vectors.astype(np.float64) - centre(vectors)
    assert radius(vectors) == pytest.approx(np.linalg.norm(away, axis=1).max(), rel=1e-6)


def test_pairs_of_every_length_at_once_are_scored_like_each_alone():
    vectors = rows(60, seed=3) * np.resize(EXTREMES, 60)[:, None] * np.float32(0.1)
    pairs = np.broadcast_to(np.arange(60), (60, 60))
    found = pair_scores(vectors, vectors[::-1], pairs, "euclidean", 2)
    for query, row in [(0, 3), (7, 7), (59, 0), (21, 38), (40, 41)]:
        alone = pair_scores(
            vectors[row : row + 1], vectors[::-1][query : query + 1], pairs[:1, :1], "euclidean"
        )
        assert alone.item() == found[query, row]


def test_nearer_is_a_greater_number_by_either_metric():
    scores = np.float32([0.5, np.nan, 0.25])
    assert nearness(scores, "cosine").tolist() == [0.5, -np.inf, 0.25]
    assert nearness(scores, "euclidean").tolist() == [-0.5, -np.inf, -0.25]


def test_the_radius_reaches_the_farthest_vector():
    vectors = np.float32([[0, 0], [4, 0], [2, 3], [2, -3]])
    assert centre(vectors).tolist() == [2, 0]
    assert radius(vectors) == 3
    assert radius(rows(0)) == 0


def test_a_cosine_is_never_beyond_one():
    vectors = checked(rows(3000, dim=37), "cosine")
    same = np.arange(3000)[:, None]
    assert np.einsum("nd,nd->n", vectors, vectors).max() > 1
    assert pair_scores(vectors, vectors, same, "cosine").max() == 1
    assert pair_scores(vectors, -vectors, same, "cosine").min() == -1
