import os

import numpy as np
import pytest

from lookalike.index.native import write
from lookalike.index.training import find_leaves, trained
from lookalike.store.index_manifest import IndexParameters


def rows(count, dim=16, seed=0):
    random = np.random.default_rng(seed)
    found = random.standard_normal((count // 20 + 1, dim))[random.integers(0, count // 20 + 1, count)]
    found += 0.3 * random.standard_normal(found.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def tree_of(vectors, metric, parameters, threads=2):
    leaves = find_leaves(vectors, metric, parameters, threads)
    return trained(vectors, metric, parameters, threads, leaves)


def files_of(scann, folder):
    os.makedirs(folder)
    write(scann, str(folder))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("algorithm", ["ah", "tree", "flat_tree"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_any_number_of_threads_trains_the_same_to_the_byte(metric, algorithm, tmp_path):
    vectors, parameters = rows(3000), IndexParameters(algorithm, 100 * (algorithm != "ah"), 3000, 0)
    one, three = (
        files_of(tree_of(vectors, metric, parameters, threads), tmp_path / str(threads)) for threads in (1, 3)
    )
    assert one == three
    assert {"dataset.npy", "scann_assets.pbtxt"} <= set(one)
    assert ("hashed_dataset.npy" in one) == (algorithm != "flat_tree")


def test_a_tree_without_codes_finds_all_that_its_leaves_hold():
    vectors = rows(2000)
    parameters = IndexParameters("flat_tree", 89, 2000, 0)
    leaves = find_leaves(vectors, "cosine", parameters, 2)
    tree = trained(vectors, "cosine", parameters, 2, leaves)
    found, scores = tree.search_batched(vectors, 3, 3, 1, True, 1000)
    scored = np.where(leaves.of[None] == leaves.of[:, None], vectors @ vectors.T, -2)
    best = np.sort(scored, axis=1)[:, :-4:-1]
    whole = best[:, 2] > -2
    assert whole.mean() > 0.9
    np.testing.assert_allclose(scores[whole], best[whole], atol=1e-6)
    assert (found[whole, 0] == np.arange(2000)[whole]).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_every_leaf_searched_finds_every_vector(metric):
    vectors = rows(2000)
    tree = tree_of(vectors, metric, IndexParameters("tree", 89, 2000, 0))
    found, _ = tree.search_batched(vectors, 1, 50, 89, True, 256)
    assert found[:, 0].tolist() == list(range(2000))


def test_one_leaf_holds_most_of_what_is_near():
    """ScaNN's own k-means, repeatable, had 0.6 to 0.8."""
    vectors = rows(4000, dim=32)
    tree = tree_of(vectors, "cosine", IndexParameters("tree", 126, 4000, 0))
    exact = np.argsort(-(vectors @ vectors.T), axis=1)[:, :5]
    found, _ = tree.search_batched(vectors, 5, 100, 1, True, 256)
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, exact, strict=True)]) > 0.85


@pytest.mark.parametrize(("count", "leaves", "dim"), [(64, 16, 2), (100, 20, 1)])
def test_few_vectors_are_a_tree_too(count, leaves, dim):
    vectors = np.arange(1, count * dim + 1, dtype=np.float32).reshape(count, dim)
    tree = tree_of(vectors, "euclidean", IndexParameters("tree", leaves, count, 0))
    found, _ = tree.search_batched(vectors, 1, count, leaves, True, 256)
    assert found[:, 0].tolist() == list(range(count))
