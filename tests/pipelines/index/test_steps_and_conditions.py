"""Steps around the search together with conditions and several pictures, against every item looked at one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index import post_processing
from lookalike.index.conditions import Conditions
from lookalike.index.post_processing import Asked, search_in_steps
from lookalike.index.query_blocks import QueryBlock
from lookalike.model.encoder.post_processing import (
    PostProcessing,
    QueryExpansion,
    Reranking,
    weighted_mean,
)
from lookalike.query.several_pictures import one_answer_each
from tests.support.index_shards import shard_of

EXPANSION = QueryExpansion(k=3, alpha=2.0)
RERANKING = Reranking(short_list=9, k1=4, k2=2)


def unit_rows(count, seed):
    rows = np.random.default_rng(seed).normal(size=(count, 5))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def within_groups(found, items, conditions):
    """Of (near, row) in order, no more of a group than the limit."""
    seen, kept = {}, []
    for near, row in found:
        product = items[row]["product"]
        group = row if product is None or conditions.group_by is None else product
        seen[group] = seen.get(group, 0) + 1
        if seen[group] <= conditions.per_group:
            kept.append((near, row))
    return kept


def of_one_picture(items, vectors, query, own, asked, least):
    """`asked.pool` matches: [(near, row)]. `least` is the price that an item must have."""
    ids = [item["item_id"] for item in items]

    def ranked():
        near = vectors.astype(np.float64) @ query
        return [(near[i], i) for i in sorted(range(len(ids)), key=lambda i: (-near[i], ids[i]))]

    if step := asked.steps.query_expansion:
        neighbours = [i for _, i in ranked() if ids[i] != own][: step.k]
        query = weighted_mean(query[None], vectors[neighbours][None], step.alpha)[0]
    own_group = items[ids.index(own)]["product"] if own in ids else own
    found = [
        (near, i)
        for near, i in ranked()
        if items[i]["price"] >= least
        and not (asked.conditions.where and items[i]["price"] > 5)
        and (asked.conditions.min_score is None or near >= asked.conditions.min_score)
        and not (asked.exclude_self and ids[i] == own)
        and not (asked.leaves_group_out and own_group is not None and items[i]["product"] == own_group)
    ]
    found = within_groups(found, items, asked.conditions)
    if step := asked.steps.reranking:
        places = [place for place, (_, i) in enumerate(found) if ids[i] != own][: step.short_list]
        listed = [found[place] for place in places]
        new = step.apply(query[None], vectors[[i for _, i in listed]][None])[0] if listed else []
        for place, position in zip(places, new, strict=True):
            found[place] = listed[position]
    return found[: asked.pool]


def of_query(pictures, items, vectors, asked):
    """The ids of the matches of a query, of what each of its pictures finds."""
    found = pictures[0]
    if len(pictures) > 1:
        best = {}
        for near, row in (one for picture in pictures for one in picture):
            best[row] = max(near, best.get(row, near))
        in_order = sorted(((near, row) for row, near in best.items()), key=lambda one: (-one[0], one[1]))
        found = within_groups(in_order, items, asked.conditions)[: asked.pool]
    balance = asked.conditions.diversify
    if balance is not None:
        relevance, left, chosen = sorted((near for near, _ in found), reverse=True), [*range(len(found))], []
        while left and len(chosen) < asked.k:
            like = {
                i: max((float(vectors[found[i][1]] @ vectors[found[j][1]]) for j in chosen), default=0)
                for i in left
            }
            chosen.append(max(left, key=lambda i: balance * relevance[i] - (1 - balance) * like[i]))
            left.remove(chosen[-1])
        found = [found[i] for i in chosen]
    return [items[row]["item_id"] for _, row in found[: asked.k]]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_all_of_them_together_answer_as_one_query_after_the_other_in_numpy(data):
    count, seed = data.draw(st.integers(1, 30)), data.draw(st.integers(0, 99))
    vectors, random = unit_rows(count, seed), np.random.default_rng(seed)
    ids = [f"{i:02d}" for i in range(count)]
    product = [None if one == 5 else f"p{one}" for one in random.integers(0, 6, count)]
    price = random.integers(0, 8, count)
    items = [{"item_id": i, "product": p, "price": n} for i, p, n in zip(ids, product, price, strict=True)]
    parts = data.draw(st.integers(1, 3))
    shards = [
        shard_of(
            ids[p::parts],
            vectors[p::parts],
            product=pa.array(product[p::parts], pa.string()),
            price=price[p::parts],
        )
        for p in range(parts)
    ]
    grouped = data.draw(st.booleans())
    asked = Asked(
        data.draw(st.integers(1, 6)),
        PostProcessing(
            query_expansion=data.draw(st.sampled_from([None, EXPANSION])),
            reranking=data.draw(st.sampled_from([None, RERANKING])),
        ),
        exclude_self=data.draw(st.booleans()),
        exact=True,
        conditions=Conditions(
            where=data.draw(st.sampled_from([None, "price <= 5"])),
            min_score=data.draw(st.sampled_from([None, 0.1])),
            group_by="product" if grouped else None,
            per_group=data.draw(st.integers(1, 3)) if grouped else 1,
            diversify=data.draw(st.sampled_from([None, 0.3, 0.7])),
        ),
        item_group="product",
    )
    names = [ids[0], "p1", "p1", "elsewhere", ids[-1], ids[-1]]
    numbers = np.array([0, 1, 1, 4, 5, 5])
    queries = unit_rows(len(names), seed + 100)
    queries[0] = vectors[0]
    least = [0, 3, 3, 2, 1, 1]
    columns = pa.table({"where": ["price >= query.least"] * len(names), "least": least})
    length = np.float32(data.draw(st.sampled_from([1, 3])))
    found = search_in_steps(shards, queries * length, names, asked, columns=columns)
    block, found = one_answer_each(
        QueryBlock(names, queries, numbers), found, asked.pool, asked.conditions.grouping
    )
    found = asked.chosen(found, "cosine")
    of_row = [
        of_one_picture(items, vectors, query.astype(np.float64), name, asked, n)
        for query, name, n in zip(queries, names, least, strict=True)
    ]
    expected = [
        of_query([of_row[row] for row in np.flatnonzero(numbers == number)], items, vectors, asked)
        for number in block.numbers
    ]
    given_ids = found.items["item_id"].to_pylist()
    assert [[given_ids[row] for row in of if row >= 0] for of in found.rows()] == expected
    if found.vectors is not None:
        np.testing.assert_allclose(found.vectors, vectors[[int(i) for i in given_ids]], atol=1e-6)


def test_a_query_is_drawn_to_what_its_own_filter_does_not_let_pass():
    asked = Asked(1, PostProcessing(query_expansion=EXPANSION), conditions=Conditions(where="false"))
    columns = pa.table({"where": ["false"]})
    for number, count in ((0, 2), (1, 0)):
        found = asked.asked_in(number, [shard_of("ab", unit_rows(2, 0))], unit_rows(1, 1), ["q"], (), columns)
        assert len(found.items) == count


def test_a_short_list_is_as_long_where_the_querys_own_group_is_left_out():
    ids, queries = [f"{i:02}" for i in range(40)], unit_rows(40, 1)
    shard = shard_of(ids, unit_rows(40, 0), product=ids)
    asked = Asked(1, PostProcessing(reranking=RERANKING), True, True, Conditions(group_by="product"))
    of_item, of_group = (
        search_in_steps([shard], queries, ids, replace(asked, item_group=field)).items["item_id"].to_pylist()
        for field in (None, "product")
    )
    assert of_group == of_item


@pytest.mark.parametrize("step", [{"query_expansion": EXPANSION}, {"reranking": RERANKING}])
def test_the_length_of_a_query_decides_nothing(step):
    shard, queries = shard_of([f"{i:02}" for i in range(40)], unit_rows(40, 0)), unit_rows(40, 1)
    asked = Asked(9, PostProcessing(**step), exact=True)
    short, long = (
        search_in_steps([shard], queries * np.float32(length), [""] * 40, asked) for length in (1, 3)
    )
    assert long.items.equals(short.items)


def test_a_diversity_of_0_chooses_what_is_least_like_the_nearest():
    shard = shard_of("abcd", [[1, 0], [0.9, 0.1], [0.8, 0.2], [-1, 0]])
    asked = Asked(2, conditions=Conditions(diversify=0.0))
    found = asked.chosen(search_in_steps([shard], np.eye(2, dtype=np.float32)[:1], ["q"], asked), "cosine")
    assert found.items["item_id"].to_pylist() == ["a", "d"]
    assert found.near.tolist() == [[1, -1]]


def test_without_any_match_all_steps_give_none():
    asked = Asked(2, PostProcessing(query_expansion=EXPANSION, reranking=RERANKING), True, True)
    asked = replace(
        asked, conditions=Conditions("price > 9", group_by="price", diversify=0.5), item_group="price"
    )
    shard = shard_of("ab", unit_rows(2, 0), price=pa.array([1, 1], pa.int64()))
    found = asked.chosen(search_in_steps([shard], unit_rows(2, 1), ["a", "q"], asked), "cosine")
    assert (found.near.shape, len(found.items), found.vectors.shape) == ((2, 2), 0, (0, 5))


@pytest.mark.parametrize("exact", [False, True])
def test_every_search_is_exact_or_none_is(exact, monkeypatch):
    told, usual = [], post_processing.ask
    monkeypatch.setattr(
        post_processing, "ask", lambda *a, **how: told.append(how["exact"]) or usual(*a, **how)
    )
    asked = Asked(1, PostProcessing(query_expansion=EXPANSION), exact=exact)
    search_in_steps([shard_of("ab", unit_rows(2, 0))], unit_rows(1, 1), ["q"], asked)
    assert told == [exact, exact]
