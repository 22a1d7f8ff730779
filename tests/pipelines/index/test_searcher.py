import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.index.cheapest import build
from lookalike.index.scores import checked, pair_scores
from lookalike.index.searcher import load
from lookalike.index.tuning import BuildOptions
from lookalike.model.errors import LookalikeError

ALGORITHMS = ("brute_force", "ah", "tree")
WAYS = [*((m, a) for m in ("cosine", "euclidean") for a in ALGORITHMS), ("cosine", "flat_tree")]


def clustered(count, dim=16, seed=0, centre=0.0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    rows = centres[random.integers(0, 20, count)] + 0.5 * random.standard_normal((count, dim)) + centre
    return rows.astype(np.float32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(vectors, queries, k, metric):
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        scores = unit(queries) @ unit(vectors).T
        rows = np.argsort(-scores, axis=1)[:, :k]
    else:
        scores = np.linalg.norm(queries[:, None] - vectors[None], axis=2)
        rows = np.argsort(scores, axis=1)[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module", params=WAYS, ids=str)
def searcher(request):
    metric, algorithm = request.param
    return build(clustered(1500), metric, BuildOptions(threads=2, algorithm=algorithm))


def test_exact_search_agrees_with_numpy(searcher):
    queries = clustered(50, seed=1)
    rows, scores = searcher.search(queries, 7, exact=True)
    expected_rows, expected_scores = nearest(clustered(1500), queries, 7, searcher.metric)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(scores, expected_scores, atol=2e-6)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


def test_fresh_queries_reach_the_recall_target(searcher):
    queries = clustered(800, seed=2)
    rows, scores = searcher.search(queries, 10)
    expected, _ = searcher.search(queries, 10, exact=True)
    recall = (rows[:, :, None] == expected[:, None]).any(axis=2).mean()
    assert all(settings.recall_lower >= 0.99 for settings in searcher.settings)
    assert recall >= 0.985
    canonical = pair_scores(searcher.vectors, checked(queries, searcher.metric), rows, searcher.metric)
    np.testing.assert_allclose(scores, canonical, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 300, 3000])
def test_results_that_do_not_exist_are_row_minus_1_with_score_nan_at_the_end(searcher, count):
    rows, scores = searcher.search(clustered(3, seed=3), 1500 + count)
    assert (rows[:, 1500:] == -1).all()
    assert np.isnan(scores[:, 1500:]).all()
    assert (np.sort(rows[:, :1500], axis=1) == np.arange(1500)).all()


def test_a_large_k_finds_as_many_as_asked(searcher):
    rows, scores = searcher.search(clustered(20, seed=3), 150)
    assert (rows >= 0).all()
    assert np.isfinite(scores).all()


def test_leaves_that_hold_fewer_vectors_than_asked_are_searched_further():
    built = build(clustered(1500), "cosine", BuildOptions(threads=2, algorithm="tree"))
    built.settings = [dataclasses.replace(built.settings[0], leaves_to_search=1, pre_reorder=150, k=150)]
    rows, _ = built.search(clustered(30, seed=1), 150)
    assert (rows >= 0).all()
    assert all(len(set(row)) == 150 for row in rows.tolist())


def test_no_queries_give_no_results(searcher):
    rows, scores = searcher.search(np.empty((0, 16), np.float32), 5)
    assert rows.shape == scores.shape == (0, 5)


def test_a_query_alone_gets_the_same_answer_as_in_a_batch(searcher):
    queries = clustered(300, seed=4)
    rows, scores = searcher.search(queries, 10)
    alone_rows, alone_scores = searcher.search(queries[17:18], 10)
    np.testing.assert_array_equal(alone_rows[0], rows[17])
    np.testing.assert_array_equal(alone_scores[0], scores[17])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_refused_by_number(searcher, bad):
    queries = clustered(5)
    queries[3, 2] = bad
    with pytest.raises(LookalikeError, match=r"query 3 of 5 has (nan|inf|-inf) at position 2"):
        searcher.search(queries, 5)


def test_a_query_of_another_dimension_is_refused(searcher):
    with pytest.raises(LookalikeError, match=r"\(n, 16\)\. Received: shape \(2, 8\)"):
        searcher.search(np.ones((2, 8), np.float32), 5)


def test_k_of_0_is_refused(searcher):
    with pytest.raises(LookalikeError, match="k=0"):
        searcher.search(clustered(1), 0)


def test_a_saved_index_answers_the_same_after_it_was_moved(searcher, tmp_path, monkeypatch):
    (tmp_path / "built").mkdir()
    names = searcher.save(str(tmp_path / "built"))
    moved = tmp_path / 'mövéd "here"'
    shutil.move(tmp_path / "built", moved)
    monkeypatch.chdir(tmp_path)
    loaded = load(moved.name)
    assert names == sorted(path.name for path in moved.iterdir())
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in moved.iterdir())
    queries = clustered(40, seed=5)
    for exact in (False, True):
        for ours, theirs in zip(
            searcher.search(queries, 9, exact=exact), loaded.search(queries, 9, exact=exact), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert loaded.settings == searcher.settings
    assert loaded.parameters == searcher.parameters
    np.testing.assert_array_equal(loaded.vectors, searcher.vectors)
    assert isinstance(loaded.vectors, np.memmap)
    assert not loaded.vectors.flags.writeable


@pytest.mark.parametrize(
    ("metric", "algorithm"),
    [pytest.param(*way, marks=pytest.mark.slow if way[1] == "tree" else ()) for way in WAYS],
)
def test_two_builds_give_the_same_bytes(tmp_path, metric, algorithm):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        built = build(clustered(2000, dim=9), metric, BuildOptions(threads=2, algorithm=algorithm))
        built.save(str(tmp_path / name))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_cannot_be_scored_is_refused_by_row(metric, bad):
    rows = clustered(10)
    rows[4, 1] = rows[7, 2] = bad
    with pytest.raises(LookalikeError, match="vector 4 of 10 has"):
        build(rows, metric, BuildOptions())


def test_a_zero_vector_is_refused_for_cosine_only():
    rows = clustered(10)
    rows[6] = 0
    with pytest.raises(LookalikeError, match="vector 6 of 10 is zero"):
        build(rows, "cosine", BuildOptions())
    found, scores = build(rows, "euclidean", BuildOptions()).search(rows[6:7], 1)
    assert (found.item(), scores.item()) == (6, 0.0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_indexes_answer_with_what_they_hold(tmp_path, metric, count):
    build(clustered(count), metric, BuildOptions()).save(str(tmp_path))
    rows, scores = load(str(tmp_path)).search(clustered(3, seed=1), 4)
    assert (np.sort(rows[:, :count], axis=1) == np.arange(count)).all()
    assert (rows[:, count:] == -1).all()
    assert (np.isnan(scores) == (rows == -1)).all()


@pytest.mark.parametrize("algorithm", ["brute_force", "ah"])
def test_distances_far_from_the_origin_do_not_cancel(algorithm):
    rows = clustered(800, centre=1000.0)
    built = build(rows, "euclidean", BuildOptions(algorithm=algorithm))
    found, scores = built.search(rows[:200], 3, exact=True)
    expected, distances = nearest(rows, rows[:200], 3, "euclidean")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, distances, atol=1e-4)
    assert (scores[:, 0] == 0).all()


def test_a_library_that_cannot_be_imported_is_not_told_as_a_damaged_index(tmp_path, monkeypatch):
    build(clustered(1500), "cosine", BuildOptions(algorithm="ah")).save(str(tmp_path))
    monkeypatch.setattr("lookalike.index.native._NATIVE", "scann_ops/cc/python/no_such.so")
    with pytest.raises(LookalikeError, match="ScaNN is installed wrongly"):
        load(str(tmp_path))


def test_euclidean_near_ties_are_decided_by_exact_distances_though_the_search_errs():
    """Two tight clusters far apart: their squared distances, some 1e5 from the mean, are an ulp of it apart."""
    random = np.random.default_rng(0)
    middles = 100 * random.standard_normal(16) * np.array([[1], [-1]])
    rows, queries = (
        (middles[np.arange(count) % 2] + 0.3 * random.standard_normal((count, 16))).astype(np.float32)
        for count in (400, 50)
    )
    found, scores = build(rows, "euclidean", BuildOptions()).search(queries, 5, exact=True)
    expected, distances = nearest(rows, queries, 5, "euclidean")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, distances, rtol=1e-4)


@pytest.mark.parametrize("algorithm", ["ah", "tree", "flat_tree"])
def test_for_more_results_the_search_is_wider_and_deeper(monkeypatch, algorithm):
    built = build(clustered(1500), "cosine", BuildOptions(threads=2, algorithm=algorithm))
    leaves = built.parameters.leaves
    built.settings = [dataclasses.replace(built.settings[0], leaves_to_search=min(2, leaves), pre_reorder=20)]
    asked = {}
    for k in (1, 10, 100):
        monkeypatch.setattr(built, "approximate", lambda *a: asked.setdefault(a[1], a[2:]) and _one_row(a))
        built.search(clustered(1, seed=1), k)
    (few, low), (usual, middle), (many, deep) = asked[1], asked[10], asked[100]
    assert (few, low) == (usual, middle) == (min(2, leaves), 20)
    assert deep >= 8 * middle
    assert many >= min(leaves, 8 * usual)


def _one_row(asked):
    queries, k, *_ = asked
    return np.zeros((len(queries), k), np.int64), np.ones((len(queries), k), np.float32)


FEWER = [(k, m, a) for k in ("bfloat16", "int8") for m in ("cosine", "euclidean") for a in ALGORITHMS]


@pytest.mark.parametrize(("kind", "metric", "algorithm"), FEWER)
def test_scores_are_those_of_what_is_stored(kind, metric, algorithm, tmp_path):
    options = BuildOptions(threads=2, algorithm=algorithm, bytes=kind, recall_target=0.95)
    built = build(clustered(700), metric, options)
    built.save(str(tmp_path))
    loaded = load(str(tmp_path))
    held, queries = np.asarray(loaded.vectors), clustered(50, seed=1)
    assert held.dtype == np.float32
    assert 0 < np.abs(held - checked(clustered(700), metric)).max() < 0.05
    np.testing.assert_allclose(held, np.asarray(built.vectors), rtol=1e-6)
    asked = checked(queries, metric)
    scores = asked @ held.T if metric == "cosine" else -np.linalg.norm(asked[:, None] - held, axis=2)
    rows, found = loaded.search(queries, 5, exact=True)
    best = np.sort(scores, axis=1)[:, :-6:-1]
    np.testing.assert_allclose(found, best if metric == "cosine" else -best, atol=1e-5)
    again, _ = loaded.search(queries, 5)
    assert (again[:, :, None] == rows[:, None]).any(axis=2).mean() > 0.9
    _, before = built.search(queries, 5)
    _, after = loaded.search(queries, 5)
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_fewer_bytes_are_fewer_on_the_disk_too_and_two_builds_write_the_same(tmp_path):
    sizes = {}
    for kind in ("float32", "bfloat16", "int8"):
        for name in (kind, f"{kind}-again"):
            (tmp_path / name).mkdir()
            options = BuildOptions(threads=1, algorithm="ah", bytes=kind, recall_target=0.9)
            build(clustered(700), "cosine", options).save(str(tmp_path / name))
        assert digests(tmp_path / kind) == digests(tmp_path / f"{kind}-again")
        sizes[kind] = sum(path.stat().st_size for path in (tmp_path / kind).glob("*dataset.npy"))
    codes = 700 * 8
    assert [sizes[kind] - codes for kind in sizes] == pytest.approx([700 * 64, 700 * 32, 700 * 16], abs=300)
