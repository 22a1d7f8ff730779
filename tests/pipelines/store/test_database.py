"""DuckDB with a limit, and a folder of its own to spill to."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.database import database, take_rows

ROWS = pa.schema([("n", pa.int64())])


def test_it_keeps_to_its_memory_and_spills_into_the_folder_which_is_gone_afterwards(tmp_path):
    spill = tmp_path / "runs"
    with database(str(spill), "50MB") as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT range AS n, repeat('x', 100) || range AS t FROM range(1_000_000)"
        )
        rows = connection.execute("SELECT t FROM t ORDER BY t DESC LIMIT 700_000 OFFSET 100").fetchall()
        assert len(rows) == 700_000
        assert list(spill.rglob("*.tmp"))
        (limit,) = connection.execute("SELECT current_setting('memory_limit')").fetchone()
        assert limit.startswith("47.6")
    assert list(spill.iterdir()) == []


def sort_with_no_space_to_spill(spill: str) -> None:
    with database(spill, "50MB") as connection:
        connection.execute("SET max_temp_directory_size = '1MB'")
        connection.execute("CREATE TABLE t AS SELECT repeat('x', 100) || range AS t FROM range(1_000_000)")
        connection.execute("SELECT t FROM t ORDER BY t DESC LIMIT 700_000 OFFSET 100").fetchall()


def test_what_cannot_be_spilled_is_told_in_a_sentence(tmp_path):
    spill = tmp_path / "runs"
    with pytest.raises(LookalikeError, match=rf"^{spill}/\S+, where what does not fit into memory goes: .*"):
        sort_with_no_space_to_spill(str(spill))
    assert list(spill.iterdir()) == []


def test_rows_are_taken_as_they_come_and_what_ends_them_is_raised_as_it_is():
    def rows(end: Exception | None = None):
        yield pa.record_batch([[1, 2]], schema=ROWS)
        yield pa.record_batch([[3]], schema=ROWS)
        if end:
            raise end

    gone = FileNotFoundError(2, "No such file or directory", "some/file")
    with database(None) as connection:
        take_rows(connection, "CREATE TABLE t AS FROM batches", ROWS, rows())
        assert connection.execute("FROM t").fetchall() == [(1,), (2,), (3,)]
        with pytest.raises(FileNotFoundError) as raised:
            take_rows(connection, "INSERT INTO t FROM batches", ROWS, rows(gone))
    assert raised.value is gone
