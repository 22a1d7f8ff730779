"""Which column of a query table is what; where it is not clear, a sentence names the columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.query.query_table import QueryTable, carried_type, form_of, open_table


def opened(tmp_path, content: str | pa.Table, name: str) -> QueryTable:
    path = tmp_path / name
    pq.write_table(content, path) if isinstance(content, pa.Table) else path.write_text(content)
    return open_table([files.look(str(path))], form_of(name) or "csv")


VECTOR = pa.array([[0.5]], pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (
            "query_id,path,box,where,a\n",
            "t.csv",
            ("path", "path", "query_id", True, "where: string a: string"),
        ),
        ("path\n", "T.CSV", ("path", "path", None, False, "")),
        ("item_id,box\n", "t.csv", ("item_id", "item_id", "item_id", False, "box: string")),
        ('{"vector": [1], "n": 1}\n{"n": 2.5}\n', "t.ndjson", ("vector", "vector", None, False, "n: double")),
        ('{"embedding": "[1]", "id": 7}', "t.jsonl", ("vector", "embedding", "id", False, "")),
        (
            '{"image": "", "a": {}, "b": [1]}',
            "t.jsonl",
            ("image", "image", None, False, "b: list<item: int64>"),
        ),
        (
            pa.table({"item_id": ["a"], "embedding": VECTOR, "width": pa.array([1], pa.int32())}),
            "t.parquet",
            ("vector", "embedding", "item_id", False, "width: int64"),
        ),
        (
            pa.table({"query_id": ["a"], "item_id": ["a"], "anything": VECTOR}),
            "t.parquet",
            ("vector", "anything", "query_id", False, "item_id: string"),
        ),
        (
            pa.table({"path": ["a"], "box": pa.array([[1.0] * 4]), "prices": VECTOR}),
            "t.parquet",
            ("path", "path", None, True, "prices: list<item: double>"),
        ),
    ],
)
def test_what_columns_mean(tmp_path, content, name, expected):
    table = opened(tmp_path, content, name)
    columns = " ".join(f"{field.name}: {field.type}" for field in table.columns)
    assert (table.content, table.column, table.id_column, table.has_box, columns) == expected


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "t.csv", "item_id, vector or text. Received: no column. Rename one of them"),
        (
            "file,query_id\n",
            "t.csv",
            "path, image, item_id, vector or text. Received: file, query_id. Rename one of them",
        ),
        ("path,item_id\n", "t.csv", "Received: path, item_id. Rename what is only to be carried"),
        ("path,vector\n", "t.csv", "Received: path, vector. Rename what is only to be carried"),
        ("path,a,a\n", "t.csv", "a name of its own for each column. Received: path, a, a"),
        ("path,\n", "t.csv", "a name of its own for each column. Received: path, "),
        ('path,a\nx,"y\n', "t.csv", "unexpected end of data, in the row that begins in line 2"),
        ("path," + ",".join(map(str, range(1000))), "t.csv", "at most 1,000 columns"),
        ('{"path": "a", "where": 5}', "t.jsonl", "text in the column where, a filter. Received: int64"),
        ("[1]", "t.jsonl", "expected an object in line 1. Received: [1]"),
        ('{"path": "a"}\n{"path', "t.jsonl", "expected JSON in line 2"),
        ('{"path": "a", "path": "b"}', "t.jsonl", "each key once in line 1. Received: 'path' twice"),
        (pa.table({"path": ["a"], "where": [True]}), "t.parquet", "a filter. Received: bool"),
        ("no Parquet", "t.parquet", "is not a whole Parquet file"),
        (
            '{"path": "a", "\\ud800": "b"}',
            "t.jsonl",
            "names of columns in UTF-8. Received: '\\ud800', not UTF-8",
        ),
        (
            pa.table({"query_id": ["a"], "vector": [[1]]}),
            "t.parquet",
            "lists of floats in the column vector. Received: list<element: int64>",
        ),
    ],
)
def test_what_is_not_clear_is_one_sentence(tmp_path, content, name, said):
    with pytest.raises(LookalikeError) as error:
        opened(tmp_path, content, name)
    assert said in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_filter_may_be_null_in_every_row(tmp_path):
    table = opened(tmp_path, pa.table({"path": ["a"], "where": pa.nulls(1)}), "t.parquet")
    assert table.columns.field("where").type == pa.string()


def test_names_of_columns_are_cut_in_a_sentence(tmp_path):
    with pytest.raises(LookalikeError) as error:
        opened(tmp_path, "x" * 5000 + ",b,b\n", "t.csv")
    assert len(str(error.value)) < 2000


def test_files_of_one_table_have_the_same_columns(tmp_path):
    for name, columns in (("a", "path,b"), ("b", "path,c")):
        (tmp_path / f"{name}.csv").write_text(columns + "\n")
    with pytest.raises(
        LookalikeError, match=r"columns of \S+a\.csv, path, b, in \S+b\.csv\. Received: path, c"
    ):
        open_table(files.glob(f"{tmp_path}/*.csv"), "csv")


def test_a_column_of_no_one_type_is_left_out_and_told(tmp_path, caplog):
    table = opened(tmp_path, '{"path": "a", "x": 1}\n{"path": "b", "x": "y"}', "t.jsonl")
    assert table.columns.names == []
    assert "column 'x' is not carried into the results" in caplog.text


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        (pa.int8(), "int64"),
        (pa.uint32(), "int64"),
        (pa.uint64(), "uint64"),
        (pa.float16(), "double"),
        (pa.large_string(), "string"),
        (pa.dictionary(pa.int8(), pa.string()), "string"),
        (pa.null(), "string"),
        (pa.date64(), "date32[day]"),
        (pa.timestamp("ns"), "timestamp[us, tz=UTC]"),
        (pa.decimal128(9, 2), "decimal128(9, 2)"),
        (pa.large_list(pa.float32()), "list<item: double>"),
        (pa.list_(pa.bool_()), "None"),
        (pa.binary(), "None"),
        (pa.struct([("a", pa.int64())]), "None"),
        (pa.time32("s"), "None"),
    ],
)
def test_types_are_those_of_metadata(kind, carried):
    assert str(carried_type(kind)) == carried


@pytest.mark.parametrize(
    ("header", "joins"),
    [("query_id,path", True), ("query_id,item_id", True), ("item_id", False), ("path", False)],
)
def test_neighbouring_rows_are_one_query_only_by_ids_of_queries(tmp_path, header, joins):
    assert opened(tmp_path, f"{header}\n", "t.csv").joins_rows == joins
