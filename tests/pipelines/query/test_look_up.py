"""Ids to queries: pictures of a group are one query, by their best score or as their mean."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.members import NO_ITEM, LookedUp
from lookalike.query.look_up import LookUpIds, looked_up, looked_up_items
from tests.support.index_shards import shard_of

FOUND = LookedUp(np.array([0, 0, 2]), np.float32([[1, 0], [0, 1], [0, 2]]), {1: NO_ITEM})


def table(numbers: list[int]) -> pa.Table:
    return pa.table(
        {
            "query_id": [f"q{number}" for number in numbers],
            "number": pa.array(numbers, pa.int64()),
            "value": ["x", "none", "c"],
            "box": pa.array([None] * 3, pa.list_(pa.int32(), 4)),
            "stage": pa.nulls(3, pa.string()),
            "error": pa.nulls(3, pa.string()),
            "words": pa.nulls(3, pa.list_(pa.float32(), 2)),
            "weight": pa.nulls(3, pa.float32()),
            "note": ["n0", "n1", "n2"],
        }
    )


def test_lines_ask_with_all_that_they_stand_for():
    block = looked_up(["x", "none", "c"], np.array([0, 3, 5]), [], FOUND, "best", "cosine")
    assert (block.ids, block.numbers.tolist()) == (["x", "x", "c"], [0, 0, 5])
    assert block.vectors.tolist() == FOUND.vectors.tolist()
    assert [tuple(one) for one in block.failures] == [(3, "none", "lookup", NO_ITEM)]
    block = looked_up(["x", "none", "c"], np.array([0, 3, 5]), [], FOUND, "mean", "cosine")
    assert (block.ids, block.vectors.tolist()) == (["x", "c"], [[0.5, 0.5], [0, 2]])


def test_rows_do_so_under_their_own_ids_with_their_columns():
    block = looked_up_items(table([4, 5, 6]), FOUND, "best", "cosine")
    assert (block.ids, block.numbers.tolist()) == (["q4", "q4", "q6"], [4, 4, 6])
    assert block.columns["note"].to_pylist() == ["n0", "n0", "n2"]
    assert [tuple(one) for one in block.failures] == [(5, "q5", "lookup", NO_ITEM)]


@pytest.mark.parametrize("combine", ["best", "mean"])
def test_a_query_of_several_rows_fails_with_one_of_them_and_names_the_row(combine):
    block = looked_up_items(table([4, 4, 6]), FOUND, combine, "cosine")
    assert block.ids == ["q6"]
    assert [tuple(one) for one in block.failures] == [
        (4, "q4", "lookup", f"row 2 of 2 of this query: {NO_ITEM}")
    ]


def test_means_without_a_direction_fail():
    found = LookedUp(np.array([0, 0]), np.float32([[1, 0], [-1, 0]]), {})
    block = looked_up(["x"], np.array([7]), [], found, "mean", "cosine")
    assert (block.ids, [tuple(one)[:3] for one in block.failures]) == ([], [(7, "x", "vector")])


def test_few_ids_are_looked_up_at_once_where_they_may_name_groups():
    none = pa.array([], pa.string())
    assert LookUpIds(None, none, "best", "cosine", 9999).at_once == 9999
    assert LookUpIds("product", none, "best", "cosine", 9999).at_once == 512
    shard = shard_of(["a", "b"], np.eye(2), product=["x", "x"])
    found = LookUpIds("product", none, "best", "cosine").in_open([shard], pa.array(["x"]))
    assert found.vectors.tolist() == [[1, 0], [0, 1]]
