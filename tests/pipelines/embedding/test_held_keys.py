"""Keys of contents in memory, against a dictionary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.embedding import held_keys
from lookalike.embedding.held_keys import are_in, last_of_each
from lookalike.store.splits import KEYS

KEY = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
ROW = st.tuples(KEY, st.integers(0, 3), st.integers(0, 9))


@given(st.lists(st.lists(ROW, max_size=8), max_size=8), st.integers(1, 10))
def test_of_each_key_the_last_file_counts_however_the_rows_come(batches, at_once):
    last: dict[int, tuple[int, int]] = {}
    for key, file, row in sorted(row for batch in batches for row in batch):
        last[key] = (file, row)
    rows = [
        pa.record_batch(
            [list(column) for column in zip(*((*row, 1) for row in batch), strict=True)], schema=KEYS
        )
        for batch in batches
        if batch
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_keys, "_AT_ONCE", at_once)
        found = last_of_each(rows)
    assert found.tolist() == [(key, *last[key]) for key in sorted(last)]


@given(st.lists(KEY), st.sets(KEY))
def test_keys_are_found_among_others(keys, others):
    ascending = np.array(sorted(others), np.uint64)
    assert are_in(np.array(keys, np.uint64), ascending).tolist() == [key in others for key in keys]
