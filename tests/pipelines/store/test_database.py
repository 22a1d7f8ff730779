"""DuckDB with a limit, and a folder of its own to spill to."""

from __future__ import annotations

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.database import database


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
