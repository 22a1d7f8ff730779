"""Blocks of queries: an id is asked once over all of them, and what cannot be searched fails alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.query.blocks import Block, Failure, joined, parted, unique, unsearchable


def test_an_id_that_came_in_an_earlier_block_is_a_failure_and_blocks_of_nothing_are_left_out():
    eye = np.eye(2, dtype=np.float32)
    blocks = [
        Block(["a", "b"], eye, np.array([0, 1])),
        Block([], np.empty((0, 2), np.float32), np.array([], int)),
        Block(["b", "c"], 2 * eye, np.array([2, 4]), [Failure(3, "x", "read", "cut")]),
    ]
    first, second = unique(iter(blocks))
    assert first.ids == ["a", "b"]
    assert (second.ids, second.vectors.tolist(), second.numbers.tolist()) == (["c"], [[0, 2]], [4])
    assert [(number, query_id, stage) for number, query_id, stage, _ in second.failures] == [
        (2, "b", "duplicate"),
        (3, "x", "read"),
    ]


def test_rows_of_one_number_are_one_query_and_come_again_as_one():
    ones = np.ones((4, 2), np.float32)
    first = Block(["a", "a", "b", "b"], ones, np.array([0, 0, 2, 2]))
    again = Block(["c", "a", "a", "a"], ones, np.array([4, 5, 5, 7]))
    one, other = unique(iter([first, again]))
    assert (one.ids, one.failures) == (["a", "a", "b", "b"], [])
    assert other.ids == ["c"]
    assert [(failure.number, failure.query_id) for failure in other.failures] == [(5, "a"), (7, "a")]


def test_a_block_of_failures_alone_is_told():
    nothing = Block([], np.empty((0, 2), np.float32), np.array([], int), [Failure(0, "x", "read", "cut")])
    assert list(unique(iter([nothing]))) == [nothing]


@pytest.mark.parametrize(("metric", "refused"), [("cosine", [1, 2, 3]), ("euclidean", [2, 3])])
def test_what_cannot_be_searched_is_told_row_by_row(metric, refused):
    vectors = np.array([[1, 0], [0, 0], [np.nan, 0], [np.inf, 1], [0, 1e-30]], np.float32)
    assert sorted(unsearchable(vectors, metric)) == refused


def test_columns_of_a_query_table_stay_with_the_queries_that_are_left() -> None:
    columns = pa.table({"price": [1, 2, 3]})
    block = Block(["a", "a", "b"], np.ones((3, 2), np.float32), np.arange(3), columns=columns)
    (kept,) = unique(iter([block]))
    assert (kept.ids, kept.columns.to_pydict()) == (["a", "b"], {"price": [1, 3]})


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 6))
def test_a_block_in_parts_is_the_same_and_no_query_is_cut_in_two(rows, size):
    """Of each number so many rows; none is a failure."""
    numbers = np.repeat(np.arange(len(rows)), rows)
    failures = [Failure(number, f"q{number}", "read", "wrong") for number, n in enumerate(rows) if not n]
    ids = [f"q{number}" for number in numbers]
    block = Block(ids, np.arange(len(ids), dtype=np.float32)[:, None], numbers, failures)
    parts = list(parted(block, size))
    assert [one for part in parts for one in part.ids] == ids
    assert np.concatenate([part.vectors for part in parts]).tolist() == block.vectors.tolist()
    assert [one for part in parts for one in part.failures] == failures
    for part in parts:
        assert len(part.ids) <= size or len(set(part.ids)) == 1
    told = [sorted([*part.numbers.tolist(), *(one.number for one in part.failures)]) for part in parts]
    assert [n for part in told for n in part] == sorted(n for part in told for n in part)
    assert len({n for part in parts for n in set(part.numbers.tolist())}) == len(set(ids))


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_joined_blocks_hold_the_same_queries_in_the_same_order(count):
    numbers = [[0, 1, 2], [4, 5], [], [9]]
    blocks = [
        Block([str(n) for n in of], np.full((len(of), 2), np.float32(place)), np.array(of, np.int64))
        for place, of in enumerate(numbers)
    ]
    failures = [Failure(3, "3", "vector", "no"), Failure(7, "7", "id", "no")]
    blocks[1].failures.append(failures[0])
    blocks[2].failures.append(failures[1])
    found = list(joined(iter(blocks), 3, count))
    assert len(found) == -(-4 // count)
    assert [name for block in found for name in block.ids] == ["0", "1", "2", "4", "5", "9"]
    assert [failure for block in found for failure in block.failures] == failures
    for block in found:
        assert block.ids == [str(n) for n in block.numbers]
    expected = np.repeat([0, 1, 3], [3, 2, 1])[:, None] * np.ones(2)
    np.testing.assert_array_equal(np.concatenate([block.vectors for block in found]), expected)
