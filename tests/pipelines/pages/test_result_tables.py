"""The tables of answers are read alike, whatever their format."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.pages.result_tables import answer_blocks, find_answers, read_blocks
from lookalike.query.answering import FAILURES_SCHEMA
from lookalike.query.tables import FORMATS, open_table, table_name

SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("probability", pa.float32()),
        ("title", pa.string()),
    ]
)
ROWS = [
    {"query_id": "1", "rank": 1, "item_id": "=a,\nb", "score": 0.75, "probability": 0.5, "title": ""},
    {"query_id": "1", "rank": 2, "item_id": "2", "score": 0.5, "probability": 0.25, "title": None},
]


def write(folder: Path, form: str, rows: list[dict[str, object]], schema: pa.Schema = SCHEMA) -> str:
    """A folder of answers with these rows and no failures."""
    for name, kind, content in (("results", schema, rows), ("failures", FAILURES_SCHEMA, [])):
        with open_table(str(folder / table_name(name, form)), kind, form) as table:
            table.write_table(pa.Table.from_pylist(content, kind))
    return str(folder)


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_the_same_in_every_format(tmp_path, form: str) -> None:
    tables = find_answers(write(tmp_path, form, ROWS))
    assert tables
    assert tables.columns == tuple(SCHEMA.names)
    assert tables.has_probability
    (block,) = read_blocks(tables.results, tables.format)
    assert block.schema.types[:5] == SCHEMA.types[:5]
    assert block.to_pylist() == ROWS
    (few,) = read_blocks(tables.results, tables.format, ("rank", "item_id"))
    assert few.to_pylist() == [{"rank": 1, "item_id": "=a,\nb"}, {"rank": 2, "item_id": "2"}]
    assert sum(map(len, read_blocks(tables.failures, tables.format))) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_results_may_be_empty(tmp_path, form: str) -> None:
    tables = find_answers(write(tmp_path, form, []))
    assert tables
    assert sum(map(len, read_blocks(tables.results, tables.format))) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_numbers_of_the_catalogue_may_be_as_large_as_their_types(tmp_path, form: str) -> None:
    fields = {"ean": pa.uint64(), "near": pa.float64(), "whole": pa.list_(pa.int64())}
    schema = pa.schema([*SCHEMA, *fields.items()])
    values = [{"ean": 2**64 - 1, "near": 5e-324, "whole": [-(2**63)]}, {"ean": 7, "near": 1e300, "whole": []}]
    rows = [row | value for row, value in zip(ROWS, values, strict=True)]
    tables = find_answers(write(tmp_path, form, rows, schema))
    assert tables
    (block,) = read_blocks(tables.results, tables.format)
    assert list(map(str, block["ean"].to_pylist())) == [str(2**64 - 1), "7"]
    assert list(map(float, block["near"].to_pylist())) == [5e-324, 1e300]
    assert list(map(str, block["whole"].to_pylist())) == [str([-(2**63)]), "[]"]


def test_a_field_of_the_catalogue_called_probability_is_none(tmp_path) -> None:
    names = ["query_id", "rank", "item_id", "score", "title", "probability"]
    schema = pa.schema([SCHEMA.field(name) for name in names])
    tables = find_answers(write(tmp_path, "parquet", [], schema))
    assert tables
    assert not tables.has_probability


def test_a_folder_without_results_holds_no_answers(tmp_path) -> None:
    assert find_answers(str(tmp_path)) is None
    assert find_answers(str(tmp_path / "gone")) is None


def test_what_is_not_clear_is_told(tmp_path) -> None:
    write(tmp_path, "csv", ROWS)
    write(tmp_path, "jsonl", ROWS)
    with pytest.raises(LookalikeError, match="one format"):
        find_answers(str(tmp_path))
    (tmp_path / "results.jsonl").unlink()
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LookalikeError, match="Received: a, b"):
        find_answers(str(tmp_path))
    (tmp_path / "failures.csv").unlink()
    with pytest.raises(LookalikeError, match="beside the results"):
        find_answers(str(tmp_path))


def test_a_score_that_is_no_number_is_told(tmp_path) -> None:
    write(tmp_path, "csv", ROWS)
    (tmp_path / "results.csv").write_text("query_id,rank,item_id,score\nq,1,a,near\n")
    tables = find_answers(str(tmp_path))
    assert tables
    with pytest.raises(LookalikeError, match="score cannot be read as float"):
        list(read_blocks(tables.results, tables.format))


@pytest.mark.parametrize(
    ("changed", "received"),
    [
        ({"probability": None}, "none of probability"),
        ({"score": None}, "none of score"),
        ({"query_id": None}, "none of query_id"),
        ({"rank": 3}, "ranks that do not count"),
        ({"rank": -1}, "ranks that do not count"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_answers_that_were_changed_are_one_sentence(tmp_path, form: str, changed, received: str) -> None:
    tables = find_answers(write(tmp_path, form, [ROWS[0], ROWS[1] | changed]))
    assert tables
    with pytest.raises(LookalikeError, match=f"{tables.results}, as they were written. Received: {received}"):
        list(answer_blocks(tables))


def test_answers_begin_with_a_first_match(tmp_path) -> None:
    tables = find_answers(write(tmp_path, "parquet", ROWS[1:]))
    assert tables
    with pytest.raises(LookalikeError, match="ranks that do not count from 1"):
        list(answer_blocks(tables))


def test_text_that_is_not_utf8_is_one_sentence(tmp_path) -> None:
    folder = write(tmp_path, "parquet", ROWS[:1])
    path = tmp_path / "results.parquet"
    table = pq.read_table(path)
    wrong = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(2, "item_id", wrong), path)
    tables = find_answers(folder)
    assert tables
    with pytest.raises(LookalikeError, match=r"results\.parquet"):
        list(answer_blocks(tables))
