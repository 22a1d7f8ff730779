from __future__ import annotations

from lookalike.duplicates.run import number_of, opened, rows_of


def test_what_a_statement_selects(tmp_path) -> None:
    with opened(str(tmp_path), ()) as run:
        batches = list(rows_of(run.connection, "SELECT range AS n FROM range(100000)"))
        assert sum(map(len, batches)) == 100_000
        assert len(batches) > 1
        assert number_of(run.connection, "SELECT count(*) FROM range(7)") == 7
