"""The group of the query's own item, left out: what is found against one item after another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index.answers import merged
from lookalike.index.conditions import Conditions
from lookalike.index.post_processing import Asked, search_in_steps
from tests.support.index_shards import shard_of


def one_by_one(items, vectors, query, query_id, asked) -> list[str]:
    """The ids of the matches of one query, each item looked at."""
    by_id = {item["item_id"]: item for item in items}
    own = by_id[query_id]["product"] if query_id in by_id else query_id
    order = sorted(
        range(len(items)), key=lambda i: (-round(float(vectors[i] @ query), 5), items[i]["item_id"])
    )
    seen, found = {}, []
    for item in (items[i] for i in order):
        product = item["product"]
        if item["item_id"] == query_id or (product is not None and product == own):
            continue
        group = ("item", item["item_id"]) if product is None else product
        if seen.setdefault(group, 0) < asked.conditions.per_group:
            seen[group] += 1
            found.append(item["item_id"])
    return found[: asked.k]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_k_are_filled_with_groups_that_are_not_the_querys_own_however_shards_divide_them(data):
    count = data.draw(st.integers(1, 30))
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, 3)).astype(np.float32)
    if data.draw(st.booleans()):
        vectors = vectors[rng.integers(0, min(3, count), count)]  # many copies
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{i * 7 % 31:02d}" for i in range(count)]
    names = st.sampled_from([None, "a", "b", "c", "d", ids[0]])
    product = data.draw(st.lists(names, min_size=count, max_size=count))
    parts = data.draw(st.integers(1, 3))
    shards = [
        shard_of(ids[p::parts], vectors[p::parts], product=pa.array(product[p::parts], pa.string()))
        for p in range(parts)
    ]
    conditions = Conditions(group_by="product", per_group=data.draw(st.integers(1, 3)))
    asked = Asked(
        data.draw(st.integers(1, 8)), exclude_self=True, conditions=conditions, item_group="product"
    )
    query_ids = data.draw(st.lists(st.sampled_from([*ids, "a", "elsewhere"]), min_size=1, max_size=4))
    queries = vectors[rng.integers(0, count, len(query_ids))]
    items = [{"item_id": i, "product": p} for i, p in zip(ids, product, strict=True)]
    expected = [
        one_by_one(items, vectors, query, name, asked) for query, name in zip(queries, query_ids, strict=True)
    ]
    apart = [asked.asked_in(0, [shard], queries, query_ids, ()) for shard in shards]
    for found in (
        search_in_steps(shards, queries, query_ids, asked),
        asked.finished(queries, query_ids, merged(apart, asked.passes[0].k, conditions.grouping)),
    ):
        names = found.items["item_id"].to_pylist()
        assert [[names[i] for i in np.flatnonzero(found.query == q)] for q in range(len(queries))] == expected
        assert np.isfinite(found.near[found.held]).all()


@pytest.mark.parametrize("field", ["maker", None])
def test_where_matches_are_grouped_otherwise_only_the_item_is_left_out(field):
    shard = shard_of(["a", "b", "c"], np.eye(3), product=["x", "x", "y"], maker=["1", "2", "3"])
    conditions = Conditions(group_by=field)
    asked = Asked(3, exclude_self=True, conditions=conditions, item_group="product")
    found = search_in_steps([shard], np.eye(3, dtype=np.float32)[:1], ["a"], asked)
    assert found.items["item_id"].to_pylist() == ["b", "c"]


def test_numbers_name_groups_too():
    shard = shard_of(["a", "b", "c"], np.eye(3), product=pa.array([17, 17, 8], pa.int64()))
    asked = Asked(3, exclude_self=True, conditions=Conditions(group_by="product"), item_group="product")
    found = search_in_steps([shard], np.eye(3, dtype=np.float32)[[0, 2]], ["17", "c"], asked)
    assert found.items["item_id"].to_pylist() == ["c", "a"]
