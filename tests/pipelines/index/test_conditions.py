"""Answers under conditions, against every item looked at one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.config.job import Query
from lookalike.index.answers import ask, merged
from lookalike.index.conditions import Conditions, schema_of
from lookalike.index.filters import read_filter
from lookalike.model.errors import LookalikeError
from tests.support.index_shards import shard_of

DIM = 4
METADATA = {"price": "float64", "maker": "string", "tags": "list<string>"}


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def one_by_one(items, vectors, query, k, conditions, metric, passes):
    """The ids of the matches of one query, each item looked at."""
    if metric == "cosine":
        near = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    else:
        near = -np.linalg.norm(vectors - query, axis=1)
    floor, seen, found = conditions.floor(metric), {}, []
    order = sorted(
        zip(-np.round(near, 5), [i["item_id"].encode() for i in items], items, strict=True),
        key=lambda r: r[:2],
    )
    for far, _, item in order:
        group = item["maker"] if item["maker"] is not None else item["item_id"]
        if not passes(item) or -far < floor:
            continue
        if conditions.group_by is None or seen.get(group, 0) < conditions.per_group:
            seen[group] = seen.get(group, 0) + 1
            found.append(item["item_id"])
    return found[:k]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@settings(max_examples=12)
@given(data=st.data())
def test_k_are_filled_with_the_nearest_that_meet_every_condition_however_shards_divide_them(metric, data):
    count, kinds = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    which = data.draw(st.lists(st.integers(0, kinds - 1), min_size=count, max_size=count))
    vectors = rows(kinds)[which] if data.draw(st.booleans()) else rows(count)
    ids = [f"{i * 31 % 41:02d}" for i in range(count)]
    price = data.draw(st.lists(st.sampled_from([None, 1.0, 2.0, 3.0]), min_size=count, max_size=count))
    maker = data.draw(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=count, max_size=count))
    parts = data.draw(st.integers(1, 3))
    shards = [
        shard_of(
            ids[p::parts],
            vectors[p::parts],
            metric,
            price=pa.array(price[p::parts], pa.float64()),
            maker=pa.array(maker[p::parts], pa.string()),
        )
        for p in range(parts)
    ]
    hidden = data.draw(st.sets(st.sampled_from(ids), max_size=8))
    for shard in shards:
        places = shard.rows_of(pa.array(sorted(hidden), pa.string()))
        shard.hidden = np.sort(places[places >= 0])
    excluded = data.draw(st.sets(st.sampled_from(ids), max_size=8))
    queries = np.concatenate([rows(kinds)[:3], rows(2, seed=1)])
    skip = [data.draw(st.sampled_from([None, *ids])) for _ in queries] if data.draw(st.booleans()) else None
    threshold = data.draw(st.sampled_from([None, 0.2, 0.5]))
    of_row = data.draw(
        st.lists(
            st.sampled_from([None, "price = 2", "price = query.price"]),
            min_size=len(queries),
            max_size=len(queries),
        )
    )
    wanted = [1.0 + i % 3 for i in range(len(queries))]
    conditions = Conditions(
        where=data.draw(st.sampled_from([None, "price > 1", "maker in ('a', 'b')"])),
        min_score=threshold if metric == "cosine" else None,
        max_distance=None if threshold is None or metric == "cosine" else 4 * threshold,
        group_by=(group := data.draw(st.sampled_from([None, "maker"]))),
        per_group=data.draw(st.integers(1, 3)) if group else 1,
    )
    tests = {
        None: lambda item, i: True,
        "price > 1": lambda item, i: item["price"] is not None and item["price"] > 1,
        "maker in ('a', 'b')": lambda item, i: item["maker"] in ("a", "b"),
        "price = 2": lambda item, i: item["price"] == 2,
        "price = query.price": lambda item, i: item["price"] == wanted[i],
    }
    columns = pa.table({"where": pa.array(of_row, pa.string()), "price": wanted})
    k = data.draw(st.integers(1, 30))
    items = [row for shard in shards for row in shard.items.to_pylist()]
    order = [ids.index(item["item_id"]) for item in items]

    def passes(i, item):
        shown = item["item_id"] not in hidden | excluded | {skip and skip[i]}
        return shown and tests[conditions.where](item, i) and tests[of_row[i]](item, i)

    expected = [
        one_by_one(items, vectors[order], query, k, conditions, metric, lambda item, i=i: passes(i, item))
        for i, query in enumerate(queries)
    ]
    options = {"exact": data.draw(st.booleans()), "excluded": excluded, "skip": skip}
    options |= {"conditions": conditions, "columns": columns}
    for found in (
        ask(shards, queries, k, **options),
        merged([ask([shard], queries, k, **options) for shard in shards], k, conditions.grouping),
    ):
        names = found.items["item_id"].to_pylist()
        assert [[names[r] for r in row if r >= 0] for row in found.rows()] == expected


@pytest.mark.parametrize(
    ("options", "metric", "sentence"),
    [
        ({"min_score": 0.5}, "euclidean", "Expected a greatest distance .* Received: a least score"),
        ({"max_distance": 0.5}, "cosine", "Expected a least score .* Received: a greatest distance"),
        ({"min_score": 0.0}, "euclidean", "Received: a least score"),
        ({"max_distance": 0.0}, "cosine", "Received: a greatest distance"),
        (
            {"group_by": "brand"},
            "cosine",
            "one of item_id: string, price: float64, maker: string. Received: 'brand'",
        ),
        ({"group_by": "tags"}, "cosine", "Expected a field to group by, .* Received: 'tags'"),
        (
            {"where": "brand = 'x'"},
            "cosine",
            "over item_id: string, price: double, .* there is no column brand",
        ),
    ],
)
def test_what_does_not_fit_what_is_served_is_a_sentence(options, metric, sentence):
    with pytest.raises(LookalikeError, match=sentence):
        Conditions(**options).check(METADATA, metric)


@pytest.mark.parametrize(
    "options",
    [
        {"group_by": "maker", "per_group": 0},
        {"per_group": 2},
        {"diversify": 1.5},
        {"diversify": -0.1},
        {"min_score": float("nan")},
        {"min_score": float("-inf")},
        {"max_distance": float("nan")},
    ],
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(LookalikeError, match="Expected"):
        Conditions(**options)


@pytest.mark.parametrize(
    "column", ["query.price", "QUERY.price", 'query."price"', '"query".price', "query . price"]
)
def test_a_filter_over_columns_of_the_queries_waits_for_them(column):
    Conditions(where=f"price < {column}").check(METADATA, "cosine")
    read = read_filter(f"price < {column}", schema_of(METADATA), pa.schema([("price", pa.float64())]))
    assert read.of_query == ("price",)


def test_what_is_said_takes_the_place_of_the_job_file_and_leaves_the_rest():
    job = Query(where="price > 1", min_score=0.5, group_by="maker", per_group=2, diversify=0.5)
    of_job = Conditions("price > 1", 0.5, None, "maker", 2, 0.5)
    assert Conditions.of(job) == Conditions.of(job, {"where": None, "per_group": None}) == of_job
    assert Conditions.of(job, {"where": "price < 9", "min_score": 0.0}) == replace(
        of_job, where="price < 9", min_score=0.0
    )


def test_diversity_chooses_among_five_times_as_many():
    assert (Conditions().pool(7), Conditions(diversify=1.0).pool(7)) == (7, 35)


def test_the_nearer_the_less_a_distance_and_the_more_a_score():
    assert Conditions(max_distance=2).floor("euclidean") == -2
    assert Conditions(min_score=0.5).floor("cosine") == 0.5
    assert Conditions().floor("euclidean") == Conditions().floor("cosine") == -np.inf
