from __future__ import annotations

import os
import time

from lookalike.duplicates.run import number_of, opened, rows_of


def test_the_folder_of_a_run_is_gone_in_the_end_and_that_of_a_dead_one_after_a_day(tmp_path) -> None:
    dead, other = tmp_path / ".duplicates-dead", tmp_path / ".duplicates-other"
    for folder in (dead, other):
        folder.mkdir()
    before = time.time() - 90_000
    os.utime(dead, (before, before))
    with opened(str(tmp_path), ()) as run:
        assert os.path.dirname(run.folder) == str(tmp_path)
        assert not dead.exists()
        assert other.exists()
        (tmp_path / os.path.basename(run.folder)).mkdir(exist_ok=True)
    assert sorted(os.listdir(tmp_path)) == [".duplicates-other"]


def test_what_a_statement_selects(tmp_path) -> None:
    with opened(str(tmp_path), ()) as run:
        batches = list(rows_of(run.connection, "SELECT range AS n FROM range(100000)"))
        assert sum(map(len, batches)) == 100_000
        assert len(batches) > 1
        assert number_of(run.connection, "SELECT count(*) FROM range(7)") == 7
