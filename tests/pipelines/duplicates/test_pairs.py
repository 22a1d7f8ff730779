from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lookalike.duplicates import pairs
from lookalike.duplicates.pairs import accept_all, of_size
from lookalike.duplicates.run import opened


@given(st.lists(st.integers(1, 9000), max_size=5))
def test_pairs_are_written_in_files_of_one_size_however_they_come(sizes) -> None:
    start, batches = 0, []
    for size in sizes:
        batches.append(pa.record_batch({"a": pa.array(range(start, start + size), pa.int64())}))
        start += size
    found = list(of_size(batches))
    assert [value for batch in found for value in batch["a"].to_pylist()] == list(range(start))
    assert {len(batch) for batch in found[:-1]} <= {pairs.CHECKED_AT_ONCE}


def test_by_their_scores_alone_all_near_pairs_are_copies(tmp_path) -> None:
    with opened(str(tmp_path), ()) as run:
        run.connection.execute("CREATE TABLE near_pairs AS SELECT 1 AS one, 2 AS other, 0.5::FLOAT AS near")
        accept_all(run)
        assert run.connection.execute("FROM copies").fetchall() == [(1, 2, 0.5, None)]
