"""Slices: every row once, in order, by threads."""

import threading

import numpy as np
import pytest

from lookalike.index.slices import in_slices


@pytest.mark.parametrize("count", [0, 1, 256, 257, 20_000])
def test_every_row_is_in_one_slice_and_slices_are_in_order(count):
    numbers = np.arange(count)
    found = in_slices(lambda one, other: (one, other), 2, numbers, -numbers)
    np.testing.assert_array_equal(np.concatenate([one for one, _ in found]), numbers)
    np.testing.assert_array_equal(np.concatenate([other for _, other in found]), -numbers)


def test_slices_are_worked_on_at_the_same_time():
    both = threading.Barrier(2, timeout=10)
    assert len(in_slices(lambda one: both.wait(), 2, np.arange(512))) == 2
