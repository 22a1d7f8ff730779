"""Tables appear whole or not at all."""

import csv
import json
import math
import os
from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.query import tables
from lookalike.query.tables import FORMATS, open_table

TABLE = pa.table({"id": ['a"b', "ü,\n", None], "score": pa.array([1.5, math.nan, math.inf], pa.float32())})


def write(path, form, *tables):
    with open_table(str(path), TABLE.schema, form) as writer:
        for table in tables:
            writer.write_table(table)


def test_parquet_keeps_every_value(tmp_path):
    write(tmp_path / "t", "parquet", TABLE.slice(0, 1), TABLE.slice(1))
    table = pq.read_table(tmp_path / "t")
    assert table.schema == TABLE.schema
    assert table["id"].to_pylist() == TABLE["id"].to_pylist()


def test_what_a_killed_run_left_of_a_table_goes_with_the_next(tmp_path):
    (left := tmp_path / ".t.tmp-0").write_bytes(b"x")
    os.utime(left, (0, 0))
    write(tmp_path / "t", "csv", TABLE)
    assert not left.exists()


def test_csv_quotes_text_and_leaves_nulls_empty(tmp_path):
    write(tmp_path / "t", "csv", TABLE)
    assert (tmp_path / "t").read_text() == '"id","score"\n"a""b",1.5\n"ü,\n",nan\n,inf\n'


def test_csv_for_a_spreadsheet_is_told_as_utf8_and_holds_no_formula(tmp_path):
    ids = ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "＝1", "ü", " =1", "a=1", "", None]
    table = pa.table({"=id": ids, "score": pa.array([-1.5] * len(ids)), "tags": [["=1"]] * len(ids)})
    with open_table(str(tmp_path / "t"), table.schema, "excel") as writer:
        writer.write_table(table)
    data = (tmp_path / "t").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    with open(tmp_path / "t", encoding="utf-8-sig", newline="") as file:
        names, *rows = csv.reader(file)
    assert names == ["'=id", "score", "tags"]
    assert [row[0] for row in rows] == [f"'{one}" for one in ids[:7]] + [*ids[7:11], ""]
    assert {(row[1], row[2]) for row in rows} == {("-1.5", '["=1"]')}


def test_csv_for_programs_keeps_every_character(tmp_path):
    ids = ["=1+1", "@a", "ü"]
    table = pa.table({"=id": ids})
    with open_table(str(tmp_path / "t"), table.schema, "csv") as writer:
        writer.write_table(table)
    assert (tmp_path / "t").read_text() == '"=id"\n"=1+1"\n"@a"\n"ü"\n'


def test_json_lines_hold_no_nan(tmp_path):
    write(tmp_path / "t", "jsonl", TABLE)
    rows = [json.loads(line) for line in (tmp_path / "t").read_text().splitlines()]
    assert rows == [{"id": 'a"b', "score": 1.5}, {"id": "ü,\n", "score": None}, {"id": None, "score": None}]


@pytest.mark.parametrize("form", FORMATS)
def test_after_an_error_the_table_of_before_is_still_there_and_nothing_else(tmp_path, form):
    (tmp_path / "t").write_text("before")

    def fail():
        with open_table(str(tmp_path / "t"), TABLE.schema, form) as writer:
            writer.write_table(TABLE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t").read_text() == "before"


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_may_be_empty(tmp_path, form):
    write(tmp_path / "t", form)
    assert (tmp_path / "t").exists()


@pytest.mark.parametrize("sizes", [[7], [2, 2, 2, 1], [1] * 7, [6, 1]])
def test_every_row_is_written_and_in_the_same_row_groups_however_rows_come(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(tables, "_ROWS", 3)
    whole, start = pa.table({"id": [str(n) for n in range(7)]}), 0
    with open_table(str(tmp_path / "t"), whole.schema, "parquet") as writer:
        for size in sizes:
            writer.write_table(whole.slice(start, size))
            start += size
    found = pq.ParquetFile(tmp_path / "t")
    assert found.read()["id"].to_pylist() == whole["id"].to_pylist()
    assert [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)] == [3, 3, 1]


def test_what_arrow_does_not_write_as_csv_is_text(tmp_path):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    table = pa.table(
        {
            "price": pa.array([Decimal("1.50")], pa.decimal128(5, 2)),
            "seen": pa.array([moment], pa.timestamp("us", "UTC")),
            "tags": [["a", "b"]],
        }
    )
    with open_table(str(tmp_path / "t"), table.schema, "csv") as writer:
        writer.write_table(table)
    (_, row) = csv.reader((tmp_path / "t").read_text().splitlines())
    assert row[0] == "1.50"
    assert datetime.fromisoformat(row[1].replace("Z", "+00:00")) == moment
    assert json.loads(row[2]) == ["a", "b"]
