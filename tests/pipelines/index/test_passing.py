"""Queries together for which the same items pass."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pyarrow as pa

from lookalike.index import passing
from lookalike.index.passing import by_filter
from tests.support.index_shards import shard_of


def shard():
    return shard_of(list("abcd"), np.eye(4), price=pa.array([1, 2, 3, 4], pa.int64()))


def found(*arguments):
    return [
        (positions.tolist(), None if passes is None else "".join(np.array(list("abcd"))[passes]))
        for positions, passes in by_filter(*arguments)
    ]


def test_without_filters_all_queries_are_asked_at_once_for_everything():
    assert found(shard(), None, None, 3) == [([0, 1, 2], None)]
    columns = pa.table({"where": pa.nulls(2, pa.string()), "colour": ["x", "y"]})
    assert found(shard(), None, columns, 2) == [([0, 1], None)]


def test_queries_are_asked_together_whose_filters_look_at_equal_values():
    columns = pa.table(
        {
            "where": ["price > 1", None, "price < query.most", "price < query.most", "price < query.most"],
            "most": [9, 9, 3, 9, 3],
            "unused": [1, 2, 3, 4, 5],
        }
    )
    assert found(shard(), "price < 4", columns, 5) == [
        ([0], "bc"),
        ([1], "abc"),
        ([2, 4], "ab"),
        ([3], "abc"),
    ]
    columns = pa.table(
        {"where": ["price > 3", None, "price > 3", "price < query.most"], "most": [1, 2, 3, 4]}
    )
    assert found(shard(), None, columns, 4) == [([0, 2], "d"), ([1], None), ([3], "abc")]
    texts = pa.table({"of": [None, "None", None]})
    assert found(shard(), "query.of is null", texts, 3) == [([0, 2], "abcd"), ([1], "")]
    lists = pa.table({"of": pa.array([[1], [1, 4], [1]], pa.list_(pa.int64()))})
    assert found(shard(), "price in query.of", lists, 3) == [([0, 2], "a"), ([1], "ad")]


def test_a_filter_is_evaluated_once_for_a_shard_and_forgotten_with_it(monkeypatch):
    opened = []
    usual = passing.opened_items
    monkeypatch.setattr(passing, "opened_items", lambda *a: opened.append(1) or usual(*a))
    one = shard()
    assert found(one, "price > 2", None, 1) == found(one, "price > 2", None, 1) == [([0], "cd")]
    assert len(opened) == 1
    assert found(one, "price > 3", None, 1) == [([0], "d")]
    assert len(passing._KEPT) == 1
    del one
    assert not len(passing._KEPT)


def test_only_so_much_is_kept(monkeypatch):
    monkeypatch.setattr(passing, "_KEPT_BYTES", 1)
    one = shard()
    columns = pa.table({"price": [1, 2, 3, 4]})
    assert [ids for _, ids in found(one, "price = query.price", columns, 4)] == list("abcd")
    assert len(passing._KEPT[one]) == 2


def test_what_is_kept_may_be_forgotten_by_another_thread_at_any_moment():
    class Forgotten(OrderedDict):
        def __setitem__(self, *_):
            pass

    one = shard()
    passing._KEPT[one] = Forgotten()
    columns = pa.table({"price": [1, 2, 3, 4]})
    assert [ids for _, ids in found(one, "price = query.price", columns, 4)] == list("abcd")


def test_every_column_of_a_query_that_its_filter_looks_at_decides():
    columns = pa.table({"least": [1, 1, 3], "most": [2, 4, 4]})
    assert found(shard(), "price between query.least and query.most", columns, 3) == [
        ([0], "ab"),
        ([1], "abcd"),
        ([2], "cd"),
    ]
