"""Why queries failed is one line, however many did."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lookalike.query.failure_kinds import Counted, FailureKinds
from tests.conftest import picture


def line(*errors: str) -> str:
    kinds = FailureKinds()
    kinds.add(errors)
    return kinds.line()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], ""),
        (["b", "a", "b"], "2: b; 1: a"),
        (["b", "a"], "1: b; 1: a"),
        (["expected a box. Received: 1", "expected a box. Received: 2"], "2: expected a box"),
        (["cut short: at 1", "cut short: at 2"], "2: cut short"),
        (
            ["9 x 9 pixels, more than 1,000", "10 x 7 pixels, more than 1,000"],
            "2: 9 x 9 pixels, more than 1,000",
        ),
        (["no column 'a'", 'no column "b"'], "2: no column 'a'"),
        (["a", "b", "c", "d", "d", "e"], "2: d; 1: a; 1: b; 2 for other reasons"),
        (["x" * 100], f"1: {'x' * 80}…"),
    ],
)
def test_kinds_are_told_the_commonest_first(errors, expected):
    assert line(*errors) == expected


def test_of_very_many_kinds_only_the_number_is_kept():
    assert line(*(f"reason {chr(0x4E00 + i)}" for i in range(3000))).endswith("2,997 for other reasons")


def test_what_is_written_is_counted():
    kinds, rows = FailureKinds(), []

    class Table:
        write_table = staticmethod(rows.append)

    table = pa.table({"query_id": ["a", "b"], "error": ["gone", "gone"]})
    Counted(Table(), kinds).write_table(table)
    assert rows == [table]
    assert kinds.line() == "2: gone"


@pytest.mark.parametrize("staged", [False, True])
def test_the_summary_of_a_query_job_says_why(published, tmp_path, monkeypatch, staged):
    from lookalike.query import job as module

    if staged:
        monkeypatch.setattr(module, "is_long", lambda *_: True)
    folder = tmp_path / "asked"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jpg").write_bytes(b"<html></html>")
    (folder / "c.jpg").write_bytes(b"")
    (folder / "d.jpg").write_bytes(picture(1))
    outcome = published.run("query", folder, "--out", tmp_path / "out")
    assert "failed       2: an HTML page instead of an image; 1: empty file\n" in outcome.out
