"""Queries in files: block by block, over several files, as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.query_blocks import QueryBlock, read_queries, write_queries


def block(*ids):
    return QueryBlock(list(ids), np.float32([[len(i), 1] for i in ids]).reshape(-1, 2), np.arange(len(ids)))


def test_blocks_of_several_files_come_one_after_another(tmp_path):
    written = [[block("a", "ü"), block("")], [block()]]
    for name, blocks in enumerate(written):
        with write_queries(f"{tmp_path}/{name}", 2) as add:
            for one in blocks:
                add(one)
    read = list(read_queries([f"{tmp_path}/0", f"{tmp_path}/1"]))
    assert [one.ids for one in read] == [["a", "ü"], [""], []]
    assert [one.vectors.tolist() for one in read] == [[[1, 1], [1, 1]], [[0, 1]], []]
    assert [one.numbers.tolist() for one in read] == [[0, 1], [0], []]


def test_a_file_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(AttributeError), write_queries(f"{tmp_path}/a", 2) as add:
        add(None)
    assert not (tmp_path / "a").exists()


def test_some_of_a_block_keep_their_numbers():
    some = block("a", "b", "c").only(np.array([True, False, True]))
    assert (some.ids, some.numbers.tolist()) == (["a", "c"], [0, 2])


def test_the_columns_of_the_table_go_with_their_queries(tmp_path):
    columns = pa.table([[1, None, 3], ["x", "y", None]], names=["number", "where"])
    with write_queries(f"{tmp_path}/0", 2) as add:
        add(replace(block("a", "b", "c"), columns=columns).only(np.array([True, False, True])))
        add(replace(block("d"), columns=columns.slice(1, 1)))
    read = list(read_queries([f"{tmp_path}/0"]))
    assert [one.columns.to_pydict() for one in read] == [
        {"number": [1, 3], "where": ["x", None]},
        {"number": [None], "where": ["y"]},
    ]
    assert read[0].numbers.tolist() == [0, 2]


def test_a_file_without_queries_has_no_blocks(tmp_path):
    with write_queries(f"{tmp_path}/0", 2):
        pass
    assert list(read_queries([f"{tmp_path}/0"])) == []
