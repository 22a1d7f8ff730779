"""Tables appear whole or not at all."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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


def test_csv_quotes_text_and_leaves_nulls_empty(tmp_path):
    write(tmp_path / "t", "csv", TABLE)
    assert (tmp_path / "t").read_text() == '"id","score"\n"a""b",1.5\n"ü,\n",nan\n,inf\n'


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
