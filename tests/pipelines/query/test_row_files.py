"""Rows of a query table in files: cut between blocks, and as they were."""

from __future__ import annotations

import pyarrow as pa

from lookalike.query.row_files import read_rows, write_rows


def test_files_hold_whole_blocks_and_give_them_back(tmp_path):
    blocks = [pa.table({"a": list(range(n)), "b": ["x"] * n}) for n in (2, 2, 5, 1)]
    written = list(write_rows(str(tmp_path), iter(blocks), 3))
    assert [[len(block) for block in read_rows(info.path)] for info in written] == [[2, 2], [5], [1]]
    assert [block for info in written for block in read_rows(info.path)] == blocks
    assert list(write_rows(str(tmp_path / "none"), iter([]), 3)) == []
