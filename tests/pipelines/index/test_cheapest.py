"""An index is built in the way that is the cheapest to search."""

import numpy as np
import pytest

from lookalike.index import tuning
from lookalike.index.cheapest import build
from lookalike.index.tuning import BuildOptions


def things(count, views):
    """Vectors of `count` things, each seen in so many views."""
    random = np.random.default_rng(0)
    rows = np.repeat(random.standard_normal((count, 16)), views, axis=0)
    return (rows + 0.25 * random.standard_normal(rows.shape)).astype(np.float32)


@pytest.mark.parametrize(("dear", "algorithm"), [(0, "flat_tree"), (1e9, "tree")])
def test_the_way_that_is_cheaper_to_search_is_built(dear, algorithm, monkeypatch):
    monkeypatch.setattr(tuning, "_BRUTE_FORCE_BELOW", 4000)
    monkeypatch.setattr(tuning, "_FLAT_LEAF", dear)
    monkeypatch.setattr(tuning, "_TABLES", 0)
    built = build(things(250, 16), "cosine", BuildOptions(recall_target=0.9, threads=2))
    assert built.parameters.algorithm == algorithm
    assert (built.settings[0].pre_reorder == 10) == (algorithm == "flat_tree")
    found, _ = built.search(things(50, 1), 5)
    assert (found >= 0).all()


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**70])
def test_what_float32_could_not_square_is_compared_and_not_trained_on(scale):
    vectors = things(30, 1) * np.float32(scale)
    built = build(vectors, "euclidean", BuildOptions(algorithm="ah", threads=1))
    assert built.parameters.algorithm == "brute_force"
    rows, _ = built.search(vectors, 1)
    assert rows[:, 0].tolist() == list(range(30))
