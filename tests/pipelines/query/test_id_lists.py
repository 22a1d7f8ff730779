"""Ids that workers look up: lines of a file, or rows of a query table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lookalike.index.members import NO_ITEM, LookedUp
from lookalike.query.id_lists import ListedIds, ListedRows
from lookalike.query.row_files import write_rows
from lookalike.runner.work_list import write_work_list


def test_lines_that_are_no_ids_are_failures_of_their_block(tmp_path):
    lines = [(0, "a", True), (2, "caf\\xe9", False), (3, "b", True)]
    listed = ListedIds(write_work_list(str(tmp_path), lines, 3, tuple, 1), "best", "cosine")
    first, second = listed.blocks(0, 2)
    assert (first.names, first.numbers.tolist(), second.names) == (["a"], [0], ["b"])
    block = first.asked(LookedUp(np.array([], np.int64), np.empty((0, 2), np.float32), {0: NO_ITEM}))
    assert [(f.number, f.stage) for f in block.failures] == [(0, "lookup"), (2, "id")]


def test_rows_ask_under_their_own_ids_with_the_items_they_name(tmp_path):
    rows = pa.table(
        {
            "query_id": ["q", "r", "s"],
            "number": [4, 5, 6],
            "value": ["a", None, "c"],
            "box": pa.array([None] * 3, pa.list_(pa.int32(), 4)),
            "stage": [None, "lookup", None],
            "error": [None, "the item_id is null", None],
            "words": pa.nulls(3),
            "weight": pa.nulls(3),
            "price": [1, 2, 3],
        }
    )
    (info,) = write_rows(str(tmp_path), iter([rows]), 9)
    (found,) = ListedRows((info.path,), "best", "cosine").blocks(0, 9)
    assert (found.names, found.numbers.tolist()) == (["a", "", "c"], [0, 1, 2])
    block = found.asked(LookedUp(np.array([0]), np.float32([[1, 0]]), {1: NO_ITEM, 2: NO_ITEM}))
    assert (block.ids, block.numbers.tolist(), block.columns.to_pydict()) == (["q"], [4], {"price": [1]})
    assert [tuple(f) for f in block.failures] == [
        (5, "r", "lookup", "the item_id is null"),
        (6, "s", "lookup", "no indexed item has this id"),
    ]
