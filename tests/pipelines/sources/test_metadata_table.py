"""Tables of metadata, as spreadsheets and databases write them."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.sources.metadata_table import read_metadata


@pytest.fixture
def table(tmp_path):
    def read(content, name="t.csv", **types):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_metadata(str(path), types)

    return read


def test_an_empty_cell_is_null_and_a_quoted_one_empty_text(table):
    found = table('path,a,b\nx,,""\ny,NA,null\n')
    assert found.types == {"a": "string", "b": "string"}
    assert [found.of(path) for path in ("x", "y", "z")] == [
        {"a": None, "b": ""},
        {"a": "NA", "b": "null"},
        {"a": None, "b": None},
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(table, encoding):
    assert table("path,a\r\nü,日\r\n".encode(encoding)).of("ü") == {"a": "日"}
    assert table('{"path": "ü", "a": "日"}\r\n'.encode(encoding), "t.jsonl").of("ü") == {"a": "日"}


def test_declared_types_go_before_what_json_has(table):
    found = table(
        '{"path": "x", "price": 1.10, "day": "2024-01-05"}', "t.jsonl", price="decimal(5,2)", day="date"
    )
    assert found.of("x") == {"price": Decimal("1.10"), "day": date(2024, 1, 5)}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("1", "2"), "int64"),
        (("1", "18446744073709551615"), "uint64"),
        (("1", "2.5", "null"), "float64"),
        (("true", "false"), "bool"),
        (('"a"', '""'), "string"),
        (("null",), "string"),
        (("[1]", "[]", "null"), "list<int64>"),
        (("[1, 2.5]",), "list<float64>"),
        (("[]",), "list<string>"),
    ],
)
def test_json_has_types_of_its_own(table, values, kind):
    rows = "".join(f'{{"path": "{n}", "v": {value}}}\n' for n, value in enumerate(values))
    assert table(rows, "t.jsonl").types == {"v": kind}


@pytest.mark.parametrize(
    "values",
    [("1", '"1"'), ("1", "true"), ("[1]", "1"), ("9007199254740993", "1.5"), ("-1", "18446744073709551615")],
)
def test_values_that_no_one_type_holds_are_refused(table, values):
    rows = "".join(f'{{"path": "{n}", "v": {value}}}\n' for n, value in enumerate(values))
    with pytest.raises(LookalikeError, match=r"t\.jsonl: expected .* '?v'?"):
        table(rows, "t.jsonl")


@given(
    cells=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), min_size=1)
)
def test_every_text_of_a_csv_comes_back(tmp_path_factory, cells):
    written = io.StringIO()
    rows = csv.writer(written, quoting=csv.QUOTE_ALL)
    rows.writerows([["path", "a"], *([str(n), cell] for n, cell in enumerate(cells))])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(written.getvalue().encode())
    found = read_metadata(str(path), {})
    assert [found.of(str(n))["a"] for n in range(len(cells))] == cells


def test_a_quote_that_is_never_closed_takes_no_rows_with_it(table):
    with pytest.raises(LookalikeError, match=r"unexpected end of data, in the row that begins in line 3"):
        table('path,a\nx,1\ny,"2\nz,3\n')
    with pytest.raises(LookalikeError, match="expected after"):
        table('path,a\nx,"1" 2\n')
    assert table('path,a\nx,5" disk\ny,"' + "2" * 200_000 + '"\n').of("x") == {"a": '5" disk'}


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("path,a,\nx,1,\n", "t.csv", "a name for each column"),
        ('{"path": "x", "": 1}', "t.jsonl", "a name for each column"),
        ('{"path": "x", "\\ud800": 1}', "t.jsonl", r"in UTF-8. Received: '\\ud800'"),
    ],
)
def test_columns_have_names_that_can_be_written(table, content, name, said):
    with pytest.raises(LookalikeError, match=said):
        table(content, name)
