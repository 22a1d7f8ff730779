"""Tables in text as streams: small blocks give what the whole file does, and what is wrong is told when it comes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.sources.text_tables import JsonType, json_rows, read_csv


def csv_rows(content: str, block: int) -> tuple[list[str], list[dict]]:
    names, batches = read_csv("t.csv", io.BytesIO(content.encode()), block)
    return names, [row for batch in batches for row in batch.to_pylist()]


@given(st.lists(st.text('a,"\n ü', max_size=6), min_size=2, max_size=12), st.integers(64, 300))
def test_rows_are_the_same_whatever_is_read_at_a_time(cells, block):
    pairs = list(zip(cells[::2], cells[1::2], strict=False))
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in pair] for pair in pairs]
    content = "one,two\n" + "".join(",".join(row) + "\n" for row in quoted)
    names, rows = csv_rows(content, block)
    assert names == ["one", "two"]
    assert rows == [{"one": one, "two": two} for one, two in pairs]


def test_a_table_without_rows_has_its_names():
    assert csv_rows("a,b\n", 100) == (["a", "b"], [])


def test_the_content_may_begin_behind_a_mark():
    file = io.BytesIO(b"***a\nx\n")
    file.seek(3)
    names, batches = read_csv("t.csv", file, 100)
    assert (names, [batch.to_pylist() for batch in batches]) == (["a"], [[{"a": "x"}]])


def test_rows_before_a_broken_one_come():
    _, batches = read_csv("t.csv", io.BytesIO(b"a,b\n" + b"x,y\n" * 99 + b"z\n"), 64)
    assert next(batches).num_rows
    with pytest.raises(
        LookalikeError,
        match=r"t\.csv: expected CSV with commas and a header, in UTF-8\. Received: CSV parse error",
    ):
        list(batches)


@pytest.mark.parametrize(
    "content", ["a\n" + "x" * 400, "x" * 400, 'a\n"' + "x\n" * 200, "a\rb\r" + "x" * 400]
)
def test_a_row_without_end_is_not_read_to_its_end(content):
    class Counted(io.BytesIO):
        taken = 0

        def read1(self, size=-1):
            data = super().read1(min(size, 16))
            self.taken += len(data)
            return data

    file = Counted(content.encode())
    with pytest.raises(
        LookalikeError, match=r"Received: more than 64 characters, in the row that begins in line [123]"
    ):
        read_csv("t.csv", file, 64)
    assert file.taken <= 96


def test_names_of_columns_are_those_of_their_values_or_refused():
    with pytest.raises(LookalikeError, match=r"t\.csv: .* Received: a second byte order mark"):
        csv_rows("\ufefforder,item_id\n007,a\n", 100)


def test_objects_come_with_their_lines():
    assert list(json_rows("t", [b'{"a": 1}', b" ", b'{"a": 2}'])) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, None, 2.5], "float64"),
        ([True, 1], "bool, int64"),
        ([{}], "dict"),
        ([[1], "x"], "int64, list"),
        ([], "string"),
    ],
)
def test_a_column_has_the_one_type_that_holds_all(values, found):
    kind = JsonType()
    for value in values:
        kind.add(value)
    assert str(kind) == found
    assert kind.name == (found if "," not in found and found != "dict" else None)
