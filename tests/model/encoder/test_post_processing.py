"""Augmentation, expansion and re-ranking: hand-made cases, a slow literal version, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.model.encoder.post_processing import (
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
    k_reciprocal_distances,
    post_processing_json,
    read_post_processing,
    weighted_mean,
)
from lookalike.model.errors import LookalikeError

DIM = 6


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def random_rows(count, seed=0, dim=DIM) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def nearest_first(query, items) -> np.ndarray:
    return items[np.argsort(-(items.astype(np.float64) @ query), kind="stable")]


def literal_distances(query, items, k1, k2, mix):
    """Zhong et al. 2017 with sets and loops, within the query and its items."""
    members = [query.astype(np.float64), *items.astype(np.float64)]
    everyone = range(len(members))
    far = {
        # A copy's length in float32 may be above 1, and 1 - cosine below 0; on the grid of the real one, which decides
        # what is tied.
        (i, j): 0.0 if i == j else max(0.0, round((1 - float(members[i] @ members[j])) * 2**29) / 2**29)
        for i in everyone
        for j in everyone
    }
    d = {(i, j): far[i, j] / (max(far[i, m] for m in everyone) or 1) for i in everyone for j in everyone}

    def near(i, k):
        return {i, *sorted((j for j in everyone if j != i), key=lambda j: (far[i, j], j))[:k]}

    def reciprocal(i, k):
        return {j for j in near(i, k) if i in near(j, k)}

    v = np.zeros((len(members), len(members)))
    for i in everyone:
        first = reciprocal(i, k1)
        robust = set(first)
        for j in first:
            other = reciprocal(j, round(k1 / 2))
            if len(first & other) >= len(other) * 2 / 3:
                robust |= other
        for j in robust:
            v[i, j] = np.exp(-d[i, j])
        v[i] /= v[i].sum()
    w = np.array([np.mean([v[j] for j in sorted(near(i, k2 - 1))], axis=0) for i in everyone])
    return np.array(
        [
            (1 - mix) * (1 - np.minimum(w[0], w[j]).sum() / np.maximum(w[0], w[j]).sum()) + mix * d[0, j]
            for j in everyone[1:]
        ]
    )


def test_a_mean_of_two_at_sixty_degrees_is_weighed_by_their_similarity():
    x, y = unit([[1, 0]]), unit([[0.5, np.sqrt(0.75)]])
    for alpha in (0, 1, 3):
        found = weighted_mean(x, y[None], alpha)
        np.testing.assert_allclose(found, unit(x + 0.5**alpha * y), atol=1e-7)


def test_a_neighbour_that_is_not_similar_has_no_weight_even_where_all_weights_are_equal():
    x = unit([[1, 0]])
    others = np.array([[[-1, 0], [0, 1], [0, 0]]], np.float32)
    np.testing.assert_array_equal(weighted_mean(x, others, 0), x)
    np.testing.assert_array_equal(weighted_mean(x, others, 3), x)


def test_an_item_without_neighbours_keeps_its_vector():
    x = random_rows(3)
    np.testing.assert_allclose(weighted_mean(x, np.empty((3, 0, DIM), np.float32), 3), x, atol=1e-7)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 6), st.sampled_from([0.0, 0.5, 3.0]), st.integers(0, 1000))
def test_means_are_those_of_the_formula_of_unit_length_and_the_same_to_the_bit_alone(n, k, alpha, seed):
    x = random_rows(n, seed)
    near = random_rows(n * k, seed + 1).reshape(n, k, DIM)
    found = weighted_mean(x, near, alpha)
    assert found.dtype == np.float32
    for i in range(n):
        weights = [max(float(x[i] @ y), 0) ** alpha if x[i] @ y > 0 else 0 for y in near[i]]
        expected = x[i] + sum((w * y for w, y in zip(weights, near[i], strict=True)), np.zeros(DIM))
        np.testing.assert_allclose(found[i], unit(expected), atol=1e-6)
        np.testing.assert_array_equal(weighted_mean(x[i : i + 1], near[i : i + 1], alpha)[0], found[i])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@settings(deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_distances_are_those_of_the_literal_definition(n, k1, k2, mix, copies, seed):
    k2 = min(k1, k2)
    items = random_rows(n, seed)
    if copies:
        items = items[np.random.default_rng(seed).integers(0, n, n)]
    queries = np.stack([random_rows(1, seed + 1)[0], items[0]])
    listed = np.stack([nearest_first(query, items) for query in queries])
    found = k_reciprocal_distances(queries, listed, k1, k2, mix)
    for query, own, row in zip(queries, listed, found, strict=True):
        np.testing.assert_allclose(row, literal_distances(query, own, k1, k2, mix), atol=1e-7)
    assert (found >= 0).all()
    assert (found <= 1 + 1e-9).all()


def test_the_nearest_item_falls_behind_two_that_are_the_querys_neighbours_in_turn():
    """Directions on a circle, k1 = 3: the item at 6 degrees has its own three nearest, and not the query at 0."""
    angles = np.radians([0, 6, -7, -8, 10, 11, 11.5])
    query, *items = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    step = Reranking(short_list=6, k1=3, k2=1, mix=0.0)
    # The four that share no neighbour with the query are at distance 1, and stay as they were.
    assert step.apply(query[None], np.array([items]))[0].tolist() == [1, 2, 0, 3, 4, 5]


def test_with_all_weight_on_the_plain_distance_the_order_stays():
    queries = random_rows(4)
    listed = np.stack([nearest_first(query, random_rows(30, 2)) for query in queries])
    order = Reranking(short_list=30, mix=1.0).apply(queries, listed)
    np.testing.assert_array_equal(order, np.tile(np.arange(30), (4, 1)))


@pytest.mark.parametrize("n", [0, 1])
def test_a_list_of_one_or_none_stays(n):
    assert Reranking(short_list=9).apply(random_rows(2), random_rows(2 * n).reshape(2, n, DIM)).shape == (
        2,
        n,
    )


def test_copies_of_the_query_stay_first_and_keep_their_order():
    query = random_rows(1)
    listed = np.concatenate([np.repeat(query, 4, axis=0), nearest_first(query[0], random_rows(20, 3))])
    order = Reranking(short_list=24, k1=5, k2=2).apply(query, listed[None])[0]
    assert order[:4].tolist() == [0, 1, 2, 3]
    same = np.repeat(query, 9, axis=0)
    assert Reranking(short_list=9).apply(query, same[None])[0].tolist() == list(range(9))


@settings(deadline=None)
@given(st.integers(2, 25), st.integers(0, 1000))
def test_a_new_order_is_a_permutation_and_depends_on_no_other_query(n, seed):
    queries = random_rows(5, seed)
    listed = np.stack([nearest_first(query, random_rows(n, seed + 1)) for query in queries])
    step = Reranking(short_list=n, k1=6, k2=3)
    order = step.apply(queries, listed)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(n), (5, 1)))
    for i in range(5):
        np.testing.assert_array_equal(step.apply(queries[i : i + 1], listed[i : i + 1])[0], order[i])


@settings(deadline=None)
@given(st.integers(2, 25), st.integers(0, 1000))
def test_the_order_in_which_different_items_are_given_does_not_matter(n, seed):
    query, items = random_rows(1, seed), random_rows(n, seed + 1)
    shuffled = np.random.default_rng(seed).permutation(n)
    step = Reranking(short_list=n, k1=6, k2=3)
    first, second = (items[p][step.apply(query, items[p][None])[0]] for p in (np.arange(n), shuffled))
    far = k_reciprocal_distances(query, items[None], 6, 3, 0.3)[0]
    if len(np.unique(np.rint(far * 1e6))) == n:
        np.testing.assert_array_equal(first, second)


def test_settings_survive_the_manifest_and_one_without_any_has_null():
    some = PostProcessing(
        database_augmentation=DatabaseAugmentation(k=5, alpha=3),
        query_expansion=QueryExpansion(k=3, alpha=0.5),
        reranking=Reranking(short_list=50),
    )
    assert read_post_processing({"retrieval": post_processing_json(some)}) == some
    assert str(some) == "database augmentation 5,3; query expansion 3,0.5; reranking 50,20,6,0.3"
    for manifest in ({}, {"retrieval": None}, {"retrieval": post_processing_json(PostProcessing())}):
        assert read_post_processing(manifest) == PostProcessing()
    assert post_processing_json(None) is None
    assert post_processing_json(PostProcessing()) is None
    assert str(PostProcessing()) == "none"


@pytest.mark.parametrize(
    "section",
    [{"query_expansion": {"k": 0}}, {"other": 1}, {"reranking": {"short_list": 9, "k1": 2, "k2": 3}}, [1]],
)
def test_a_manifest_with_other_settings_is_refused_by_name(section):
    with pytest.raises(LookalikeError, match=r"encoder\.json: retrieval"):
        read_post_processing({"retrieval": section})
