"""Conditions on an index that is searched approximately, and groups of very different sizes, against exact search."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index import nearest
from lookalike.index.answers import ask
from lookalike.index.conditions import Conditions
from lookalike.index.scores import checked, pair_scores
from lookalike.index.shard import IndexShard, ShardContent, in_memory
from lookalike.index.shown import ShownItems
from lookalike.index.tuning import BuildOptions
from tests.support.index_shards import shard_of

COUNT, DIM = 4000, 8


@pytest.fixture(scope="module")
def approximate() -> tuple[IndexShard, np.ndarray]:
    """Quantised codes over 40 clusters, and queries near some of them."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((40, DIM))
    cluster = random.integers(0, 40, COUNT)
    vectors = (centres[cluster] + 0.3 * random.standard_normal((COUNT, DIM))).astype(np.float32)
    items = pa.table(
        {
            "item_id": [f"{i:04}" for i in range(COUNT)],
            "cluster": cluster,
            "share": random.permutation(COUNT) / COUNT,
            "lopsided": np.where(np.arange(COUNT) % 200, 0, np.arange(COUNT)),
        }
    )
    content = ShardContent(items, vectors, "cosine", "abc")
    shard = in_memory(content, BuildOptions(recall_target=0.9, threads=1, algorithm="ah"))
    assert any(one.pre_reorder for one in shard.searcher.settings)
    return shard, vectors[:40] + np.float32(0.1)


def recall(found, truth):
    """Share of the best scores of each query that were found."""
    last = np.where(np.isneginf(truth.near), np.inf, truth.near).min(axis=1)
    return (found.near >= last[:, None] - 1e-6).sum() / truth.held.sum()


@pytest.mark.parametrize(
    "conditions",
    [
        *(Conditions(where=f"share < {share}") for share in (0.8, 0.3, 0.05, 0.002)),
        Conditions(where="cluster < 20"),
        Conditions(where="cluster = 7"),
        Conditions(group_by="cluster"),
        Conditions(group_by="lopsided"),
        Conditions(group_by="cluster", per_group=3, where="share < 0.5"),
    ],
    ids=lambda conditions: f"{conditions.where}, {conditions.group_by}",
)
def test_k_are_filled_and_recall_is_that_of_the_index(approximate, conditions):
    shard, queries = approximate
    truth = ask([shard], queries, 10, exact=True, conditions=conditions)
    found = ask([shard], queries, 10, conditions=conditions)
    assert found.held.sum() == truth.held.sum()
    assert recall(found, truth) >= 0.9


def test_few_items_that_pass_are_compared_and_nothing_else(approximate, monkeypatch):
    shard, queries = approximate
    monkeypatch.setattr(shard.searcher, "search", None)
    found = ask([shard], queries, 10, conditions=Conditions(where="share < 0.01"))
    assert found.held.all()
    assert (found.items["share"].to_numpy() < 0.01).all()


def test_scores_are_those_of_the_one_formula_however_an_item_was_found(approximate):
    shard, queries = approximate
    vectors = shard.searcher.vectors
    for conditions in (Conditions(), Conditions(where="share < 0.9"), Conditions(where="share < 0.1")):
        found = ask([shard], queries, 10, conditions=conditions)
        rows = shard.rows_of(found.items["item_id"]).reshape(len(queries), 10)
        expected = pair_scores(vectors, checked(queries, "cosine"), rows, "cosine")
        np.testing.assert_array_equal(found.near, expected)


def test_of_what_an_approximate_search_finds_under_a_filter_the_nearer_half_is_relied_on(approximate):
    shard, queries = approximate
    wanted = nearest._Wanted(5, False, np.float32(-np.inf), None)
    for passing, last in ((None, 19), (np.ones(COUNT, bool), 9)):
        shown = ShownItems(shard, np.empty(0, np.int64), None, passing)
        answers = nearest._ask(shard, queries, 20, wanted, shown, among=False)
        positions = np.arange(len(queries))
        found, horizon = nearest._judged(
            shard, [queries, *answers], 20, wanted, shown, positions, among=False
        )
        np.testing.assert_allclose(horizon, found.near[:, last], atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_groups_that_are_searched_one_by_one_give_the_same_matches(monkeypatch, metric, copies, seed):
    random = np.random.default_rng(seed)
    count = 300
    vectors = np.repeat(random.standard_normal((count // copies, 4)), copies, axis=0).astype(np.float32)
    sizes = random.choice([0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5], count)
    maker = [None if size == 5 else f"m{size}" for size in sizes]
    ids = [f"{i * 7 % count:03}" for i in range(count)]
    shard = shard_of(ids, vectors, metric, maker=pa.array(maker, pa.string()), price=random.random(count))
    skip = [ids[i] if i % 2 else None for i in range(9)]
    options = {"skip": skip, "conditions": Conditions(group_by="maker", per_group=2, where="price < 0.8")}
    queries = vectors[:9] + np.float32(0.01)
    monkeypatch.setattr(nearest, "_DEEP", 10**9)
    together = ask([shard], queries, 40, **options)
    asked = []
    usual = nearest._group_by_group
    monkeypatch.setattr(nearest, "_DEEP", 0)
    monkeypatch.setattr(nearest, "_group_by_group", lambda *a: asked.append(1) or usual(*a))
    split = ask([shard], queries, 40, **options)
    assert asked
    np.testing.assert_array_equal(split.near, together.near)
    assert split.items.equals(together.items)


def test_groups_that_are_searched_one_by_one_are_searched_exactly(approximate, monkeypatch):
    shard, queries = approximate
    conditions = Conditions(group_by="lopsided", per_group=5)
    truth = ask([shard], queries, 10, exact=True, conditions=conditions)
    monkeypatch.setattr(nearest, "_DEEP", 0)
    monkeypatch.setattr(nearest, "_is_comparing_cheaper", lambda *_: False)
    asked, usual = [], shard.searcher.search
    monkeypatch.setattr(
        shard.searcher, "search", lambda *a, exact: asked.append(exact) or usual(*a, exact=exact)
    )
    found = ask([shard], queries, 10, conditions=conditions)
    assert asked[0] is False
    assert len(asked) > 2
    assert all(asked[1:])
    np.testing.assert_array_equal(found.near, truth.near)
    assert found.items.equals(truth.items)


def test_an_index_shard_without_items_has_no_groups_and_nothing_that_passes():
    shard = shard_of([], np.empty((0, 4)), maker=pa.array([], pa.string()))
    conditions = Conditions(where="maker = 'a'", group_by="maker", min_score=0.1)
    found = ask([shard], np.eye(4, dtype=np.float32), 3, skip=["a"] * 4, conditions=conditions)
    assert not found.held.any()


@pytest.mark.parametrize("exact", [False, True])
def test_a_threshold_is_met_by_what_is_just_as_near_and_by_nothing_farther(approximate, exact):
    shard, queries = approximate
    plain = ask([shard], queries, 10, exact=exact)
    least = float(plain.near[0, 4])
    found = ask([shard], queries, 10, exact=exact, conditions=Conditions(min_score=least))
    assert found.held[0].sum() == 5
    np.testing.assert_array_equal(found.held, plain.near >= np.float32(least))


def test_queries_with_filters_of_their_own_skip_each_its_own_item():
    shard = shard_of("abc", np.eye(3), price=[1, 2, 3])
    columns = pa.table({"where": ["price < 3", "price > 0"]})
    found = ask([shard], np.ones((2, 3), np.float32), 3, skip=["a", "b"], columns=columns)
    assert found.query.tolist() == [0, 1, 1]
    assert found.items["item_id"].to_pylist() == ["b", "a", "c"]
