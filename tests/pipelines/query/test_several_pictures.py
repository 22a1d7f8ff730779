"""Several pictures of one query: an item counts once, by its best score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index.answers import Answers
from lookalike.index.groups import Grouping
from lookalike.index.query_blocks import QueryBlock
from lookalike.query.several_pictures import best_of, one_answer_each

INF = -np.inf


def answers_of(rows: list[list[tuple[float, str]]], width: int) -> Answers:
    near = np.full((len(rows), width), INF, np.float32)
    for number, row in enumerate(rows):
        near[number, : len(row)] = [score for score, _ in row]
    ids = [item for row in rows for _, item in row]
    return Answers(
        near,
        pa.table({"item_id": pa.array(ids, pa.string()), "n": pa.array([len(i) for i in ids], pa.int64())}),
    )


def as_lists(answers: Answers) -> list[list[tuple[float, str]]]:
    ids = iter(answers.items["item_id"].to_pylist())
    return [[(float(near), next(ids)) for near in row if near != INF] for row in answers.near]


def test_what_each_picture_finds_is_put_in_order_and_one_row_stays_as_it_is():
    rows = [[(0.9, "a"), (0.5, "b")], [(0.8, "b"), (0.7, "c")], [(0.1, "x"), (0.2, "y")], []]
    found = best_of(answers_of(rows, 2), np.array([3, 3, 7, 9]), 2)
    np.testing.assert_allclose(found.near, [[0.9, 0.8], [0.1, 0.2], [INF, INF]])
    assert found.items.to_pydict() == {"item_id": ["a", "b", "x", "y"], "n": [1, 1, 1, 1]}


def test_a_block_keeps_the_first_row_of_each_query():
    block = QueryBlock(
        ["a", "a", "b"], np.eye(3, dtype=np.float32), np.array([0, 0, 2]), columns=pa.table({"n": [1, 2, 3]})
    )
    once, found = one_answer_each(block, answers_of([[(0.5, "x")], [(0.5, "u")], []], 1), 1)
    assert (once.ids, once.columns.to_pydict(), as_lists(found)) == (
        ["a", "b"],
        {"n": [1, 3]},
        [[(0.5, "u")], []],
    )
    same = block.only(np.array([True, False, True]))
    given_ = answers_of([[], []], 1)
    assert one_answer_each(same, given_, 1) == (same, given_)


@given(st.data())
def test_it_is_what_all_items_of_all_pictures_give(data):
    """Each picture has a score with each item, and tells of the best `k`."""
    k = data.draw(st.integers(1, 4))
    numbers = np.repeat(np.arange(3), data.draw(st.lists(st.integers(1, 3), min_size=3, max_size=3)))
    items = "bcadéz"
    score = st.sampled_from([0.0, 0.25, 0.5, 0.75])
    scores = [{item: data.draw(score) for item in items} for _ in numbers]
    first = [
        sorted(((s, i) for i, s in row.items()), key=lambda one: (-one[0], one[1].encode()))[:k]
        for row in scores
    ]
    found = as_lists(best_of(answers_of(first, k), numbers, k))
    for query in range(3):
        rows = [row for row, number in zip(scores, numbers, strict=True) if number == query]
        best = [(max(row[item] for row in rows), item) for item in items]
        assert found[query] == sorted(best, key=lambda one: (-one[0], one[1].encode()))[:k]


def test_of_a_group_no_more_are_matches_than_of_one_picture():
    rows = [[(0.9, "a"), (0.5, "c")], [(0.8, "b"), (0.7, "d")]]
    answers = answers_of(rows, 2)
    answers = Answers(answers.near, answers.items.append_column("brand", pa.array(["x", "y", "x", "y"])))
    found = best_of(answers, np.array([0, 0]), 2, Grouping("brand", 1))
    assert [item for row in as_lists(found) for _, item in row] == ["a", "d"]
