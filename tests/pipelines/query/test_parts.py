"""Parts of a query job: what is written is read again, and ids that come again are found over all of them."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.query.blocks import Block, Failure
from lookalike.query.parts import Part, find_repeated, is_done, read_failures, read_parts, write_part


def write(folder, name, ids, failures=()):
    with write_part(str(folder), name, 1) as add:
        for start in range(0, len(ids), 2):
            some = ids[start : start + 2]
            numbers = np.arange(start, start + len(some))
            add(
                Block(
                    some, np.ones((len(some), 1), np.float32), numbers, list(failures) if start == 0 else []
                )
            )


def test_parts_are_told_in_input_order_with_their_counts(tmp_path):
    write(tmp_path, "00000007", ["a", "b", "c"], [Failure(9, "x", "decode", "no image")])
    write(tmp_path, "00000002", [])
    assert read_parts(str(tmp_path)) == [Part("00000002", 0, {}), Part("00000007", 3, {"decode": 1})]
    assert list(read_failures(str(tmp_path), "failures", "00000007")) == [
        Failure(9, "x", "decode", "no image")
    ]
    assert is_done(str(tmp_path), "00000002")


def test_a_part_that_is_not_finished_is_none(tmp_path):
    with pytest.raises(KeyError), write_part(str(tmp_path), "00000000", 1):
        raise KeyError
    assert not is_done(str(tmp_path), "00000000")
    assert read_parts(str(tmp_path)) == []


def test_an_id_that_comes_again_is_told_with_its_place_in_whatever_part_it_is(tmp_path):
    parts = {"0": ["a", "b", "a"], "1": ["c"], "2": ["b", "d", "c", "a"]}
    for name, ids in parts.items():
        write(tmp_path, name, ids)
    found = [Part(name, len(ids), {}) for name, ids in parts.items()]
    assert find_repeated(str(tmp_path), found, str(tmp_path)) == 4
    again = {
        name: [(f.number, f.query_id) for f in read_failures(str(tmp_path), "repeated", name)]
        for name in parts
    }
    assert again == {"0": [(2, "a")], "1": [], "2": [(0, "b"), (2, "c"), (3, "a")]}


def test_a_query_of_several_rows_does_not_come_again_in_itself(tmp_path):
    with write_part(str(tmp_path), "0", 1) as add:
        add(Block(["a", "a", "b"], np.ones((3, 1), np.float32), np.array([0, 0, 2])))
    parts = read_parts(str(tmp_path))
    assert [part.queries for part in parts] == [3]
    assert find_repeated(str(tmp_path), parts, None) == 0


def test_a_query_of_several_rows_that_comes_again_is_told_once(tmp_path):
    write(tmp_path, "0", ["a"])
    with write_part(str(tmp_path), "1", 1) as add:
        add(Block(["a", "a", "b"], np.ones((3, 1), np.float32), np.array([0, 0, 2])))
    assert find_repeated(str(tmp_path), read_parts(str(tmp_path)), str(tmp_path)) == 1
    assert [failure.query_id for failure in read_failures(str(tmp_path), "repeated", "1")] == ["a"]
