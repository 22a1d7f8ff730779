"""Items behind vectors that many of them share, against every one of them compared."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index.conditions import Conditions
from lookalike.index.groups import Groups
from lookalike.index.search import search, take_items, vectors_by_id
from lookalike.index.shard import OFFSETS, IndexShard, ShardContent, open_index_shard, write_index_shard
from lookalike.index.shown import ShownItems, served_rows
from lookalike.index.tuning import BuildOptions
from tests.support.index_shards import shard_of

DIM = 5


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def answers(shards, matches, queries):
    ids = take_items(shards, matches)["item_id"].to_pylist()
    found = [[] for _ in range(queries)]
    for query, rank, item in zip(matches.query, matches.rank, ids, strict=True):
        found[query].append(item)
        assert rank == len(found[query])
    return found


def compared(ids, vectors, queries, k, gone, skip):
    """The ids of the nearest, compared one by one."""
    found = []
    for query, skipped in zip(queries.astype(np.float64), skip, strict=True):
        far = np.round(np.linalg.norm(vectors - query, axis=1), 5)
        order = sorted(zip(far, [i.encode() for i in ids], strict=True))
        left = [item.decode() for _, item in order if item.decode() not in gone | {skipped}]
        found.append(left[:k])
    return found


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_copies_are_listed_as_if_each_had_a_vector_of_its_own(data):
    kinds = data.draw(st.integers(1, 6))
    number = data.draw(st.lists(st.integers(0, kinds - 1), min_size=1, max_size=40))
    vectors = rows(kinds)[number]
    ids = [f"{i * 31 % 41:02d}" for i in range(len(number))]
    parts = data.draw(st.integers(1, 3))
    shards = [shard_of(ids[p::parts], vectors[p::parts], "euclidean") for p in range(parts)]
    queries = np.concatenate([rows(kinds), rows(2, seed=1)])
    skip = [data.draw(st.sampled_from([None, "unknown", *ids])) for _ in queries]
    gone = data.draw(st.sets(st.sampled_from(ids), max_size=20))
    hidden = data.draw(st.sets(st.sampled_from(ids), max_size=20))
    for shard in shards:
        rows_of_them = shard.rows_of(pa.array(sorted(hidden), pa.string()))
        shard.hidden = np.sort(rows_of_them[rows_of_them >= 0])
    k = data.draw(st.integers(1, 45))
    matches = search(shards, queries, k, excluded=gone, skip=skip)
    assert answers(shards, matches, len(queries)) == compared(ids, vectors, queries, k, gone | hidden, skip)
    if not gone:
        matches = search(shards, queries, k)
        assert answers(shards, matches, len(queries)) == compared(
            ids, vectors, queries, k, hidden, [None] * len(queries)
        )


@pytest.mark.parametrize("algorithm", ["brute_force", "ah", "tree", "flat_tree"])
def test_a_vector_with_thousands_of_copies_takes_one_place_in_the_index(tmp_path, algorithm):
    vectors = np.concatenate([np.repeat(rows(1, seed=3), 4000, axis=0), rows(1000)])
    ids = pa.array([f"{i * 7919 % 5003:04d}" for i in range(5000)])
    items = pa.table({"item_id": ids, "price": pa.array(range(5000), pa.int64())})
    content = ShardContent(items, vectors, "cosine", "abc")
    manifest = write_index_shard(str(tmp_path), content, BuildOptions(algorithm=algorithm))
    shard = open_index_shard(str(tmp_path))
    assert (manifest.count, len(shard.items), len(shard.searcher)) == (5000, 5000, 1001)
    assert OFFSETS in manifest.files
    asked = []
    usual = shard.searcher.search
    shard.searcher.search = lambda queries, k, exact=False: asked.append(k) or usual(queries, k, exact=exact)
    found = search([shard], vectors[:1], 10)
    assert take_items([shard], found)["item_id"].to_pylist() == sorted(ids[:4000].to_pylist())[:10]
    # Each id kept its own metadata, and is found by it.
    some = pa.array(["0000", ids[17].as_py(), ids[4500].as_py()])
    prices = shard.items["price"].combine_chunks().take(pa.array(shard.rows_of(some))).to_pylist()
    assert prices == [ids.index(i.as_py()).as_py() for i in some]
    np.testing.assert_allclose(
        vectors_by_id([shard], some), [v / np.linalg.norm(v) for v in vectors[prices]], rtol=1e-6
    )
    assert asked == [11]


def test_without_copies_nothing_is_kept_beside_the_items(tmp_path):
    items = pa.table({"item_id": pa.array(["b", "a"])})
    manifest = write_index_shard(str(tmp_path), ShardContent(items, rows(2), "cosine", "abc"), BuildOptions())
    assert OFFSETS not in manifest.files
    assert open_index_shard(str(tmp_path)).items["item_id"].to_pylist() == ["b", "a"]


def test_what_is_served_is_neither_hidden_nor_taken_down():
    built = shard_of(["a", "b", "c", "d"], rows(4))
    shard = IndexShard(built.searcher, built.items, built.manifest, hidden=np.array([1]))
    for excluded, left in (([], [0, 2, 3]), (["d", "b", "zz"], [0, 2]), (["a", "c", "d"], [])):
        assert served_rows(shard, pa.array(excluded, pa.string())).tolist() == left


def test_groups_of_one_picture_are_found_though_it_has_more_copies_of_one_than_count():
    vector = rows(1)[0]
    shard = shard_of("abc", [vector] * 3, brand=["x", "x", "y"])
    asked = {"skip": ["elsewhere"], "conditions": Conditions(group_by="brand")}
    assert answers([shard], search([shard], vector[None], 2, **asked), 1) == [["a", "c"]]
    assert answers([shard], search([shard], vector[None], 2, **asked | {"skip": ["a"]}), 1) == [["b", "c"]]


def test_a_group_that_comes_first_among_copies_leaves_room_for_the_others():
    vector = rows(1)[0]
    shard = shard_of("abcde", [vector] * 5, brand=["x", "x", "x", "x", "y"])
    asked = {"conditions": Conditions(group_by="brand")}
    assert answers([shard], search([shard], vector[None], 2, **asked), 1) == [["a", "e"]]


def test_parts_are_asked_by_some_of_the_queries_each_with_the_item_that_it_skips():
    shard = shard_of("abc", rows(3), brand=["x", "x", "y"])
    shown = ShownItems(shard, np.empty(0, np.int64), ["a", "b"], groups=Groups(shard.items["brand"], 1))
    [(_, part, _)] = shown.split(shard, np.array([1]), 3)
    assert part.counts(np.array([0]), np.arange(3)[None]).tolist() == [[1, 0, 1]]
