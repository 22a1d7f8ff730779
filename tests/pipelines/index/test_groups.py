"""Groups of items by the value of a field."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index.groups import Groups, codes_of, first_in_runs, first_of_groups


def test_equal_values_have_one_code_and_each_null_its_own():
    codes = codes_of(pa.chunked_array([["b", None], ["a", "b", None]])).tolist()
    assert codes[0] == codes[3] != codes[2]
    assert len({codes[1], codes[4], *codes[:1], codes[2]}) == 4


@given(st.lists(st.lists(st.integers(-2, 3), min_size=6, max_size=6), max_size=4), st.integers(1, 3))
def test_the_first_of_each_code_in_a_row_are_kept(rows, per_group):
    codes = np.array(rows, np.int64).reshape(-1, 6)
    expected = [[row[:i].count(code) < per_group for i, code in enumerate(row)] for row in codes.tolist()]
    assert first_of_groups(codes, per_group).tolist() == expected


def test_the_first_of_each_code_are_kept_of_every_run():
    runs, codes = np.array([0, 0, 1, 1, 1, 3]), np.array([7, 7, 7, 2, 7, 7])
    assert first_in_runs(runs, codes, 1).tolist() == [True, False, True, True, False, True]
    assert first_in_runs(runs, codes, 2).all()


def test_of_the_items_of_a_vector_the_first_of_each_group_that_appear_can_be_matches():
    groups = Groups(pa.chunked_array([["x", "x", "x", "y", "x", "x", None, None]]), 1)
    offsets, appears = np.array([0, 4, 8]), np.array([0, 1, 1, 1, 1, 1, 1, 1], bool)
    assert groups.count == 4
    assert np.flatnonzero(groups.first_of_vectors(offsets, appears, skips=False)).tolist() == [1, 3, 4, 6, 7]
    assert np.flatnonzero(groups.first_of_vectors(offsets, appears, skips=True)).tolist() == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
