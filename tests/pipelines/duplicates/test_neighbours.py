from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.duplicates import neighbours
from lookalike.duplicates.neighbours import LOOKED_AT, FindNeighbours, Nearness, blocks_of
from lookalike.duplicates.run import read_files
from tests.support.numbered_shards import excluded_file, numbered_shards, unit


def pairs_found(folder, shards, wanted, excluded=(), memory=None) -> dict[tuple[int, int], float]:
    """(smaller number, larger) -> how near."""
    sides = max(one.side for one in shards) + 1
    files = (excluded_file(folder, excluded),) * sides
    FindNeighbours(str(folder), shards, files, wanted, memory)(blocks_of(shards))
    found = {}
    for batch in read_files(str(folder), "pairs"):
        for asked, other, near in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            found[min(asked, other), max(asked, other)] = near
    return found


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 3), st.sampled_from(["cosine", "euclidean"]))
def test_all_near_pairs_are_found_however_shards_are_spread(tmp_path_factory, seed, parts, metric) -> None:
    rng = np.random.default_rng(seed)
    rows = unit(rng.normal(size=(24, 3)))
    ids = [f"i{n:02}" for n in range(len(rows))]
    cuts = sorted(rng.choice(np.arange(1, 24), parts - 1, replace=False).tolist())
    bounds = list(zip([0, *cuts], [*cuts, 24], strict=True))
    folder = tmp_path_factory.mktemp("run")
    shards = numbered_shards(folder, [(ids[a:b], rows[a:b]) for a, b in bounds], metric)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    near = rows @ rows.T if metric == "cosine" else -distances
    least = 0.9 if metric == "cosine" else -0.45
    expected = {(a, b) for a in range(24) for b in range(a + 1, 24) if near[a, b] >= least}
    unclear = {(a, b) for a in range(24) for b in range(a + 1, 24) if abs(near[a, b] - least) < 1e-5}
    found = pairs_found(folder, shards, Nearness(least, least), memory=1)
    assert set(found) - unclear == expected - unclear
    assert all(found[pair] == pytest.approx(near[pair], abs=1e-5) for pair in found)


def test_more_is_asked_for_where_there_are_many_copies(tmp_path) -> None:
    rng = np.random.default_rng(0)
    many = unit(np.array([1, 0, 0, 0]) + 0.01 * rng.normal(size=(60, 4)))
    others = unit(rng.normal(size=(40, 4)) * [0, 1, 1, 1])
    rows = np.concatenate([many, others])
    shards = numbered_shards(tmp_path, [([f"{n:03}" for n in range(100)], rows)])
    found = pairs_found(tmp_path, shards, Nearness(0.99, 0.99))
    assert {(a, b) for a in range(60) for b in range(a + 1, 60)} <= set(found)


def test_of_what_is_no_nearer_than_others_are_the_nearest_count(tmp_path) -> None:
    rows = unit(np.array([1, 0, 0]) + 0.3 * np.random.default_rng(1).normal(size=(30, 3)))
    shards = numbered_shards(tmp_path, [([f"{n:03}" for n in range(30)], rows)])
    found = pairs_found(tmp_path, shards, Nearness(-1.0, 2.0))
    near = rows @ rows.T
    np.fill_diagonal(near, -2)
    expected = {(min(a, b), max(a, b)) for a in range(30) for b in np.argsort(-near[a])[:LOOKED_AT].tolist()}
    assert set(found) == expected


def test_what_is_taken_down_is_in_no_pair(tmp_path) -> None:
    rows = unit([[1, 0], [1, 0.01], [1, 0.02]])
    shards = numbered_shards(tmp_path, [(["a", "b", "c"], rows)])
    assert set(pairs_found(tmp_path, shards, Nearness(0.9, 0.9), excluded=["b"])) == {(0, 2)}


def test_against_another_catalogue_only_pairs_of_both_count(tmp_path) -> None:
    rows = unit([[1, 0], [1, 0.01]])
    shards = numbered_shards(tmp_path, [(["a", "b"], rows), (["a", "b"], rows)], sides=(0, 1))
    assert set(pairs_found(tmp_path, shards, Nearness(0.9, 0.9))) == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_identical_vectors_of_one_shard_are_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    rows = unit([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]])
    shards = numbered_shards(tmp_path, [(list("abcde"), rows)])
    assert [(block.start, block.stop) for block in blocks_of(shards)] == [(0, 2)]
    assert pairs_found(tmp_path, shards, Nearness(0.9, 0.9)) == {}
