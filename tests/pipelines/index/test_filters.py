"""Filters in SQL: what they let pass, and what is no filter."""

from __future__ import annotations

import datetime
import itertools
import os

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index.filters import opened_items, read_filter
from lookalike.model.errors import LookalikeError

ITEMS = pa.table(
    {
        "item_id": ["a", "b", "c", "d"],
        "price": pa.array([10.0, 60.0, None, 40.0]),
        "size": ["8", "XL", "12", None],
        "Colour": ["red", "blue", "red", "red"],
        "tags": pa.array([["new"], [], None, ["new", "sale"]], pa.list_(pa.string())),
        "added": pa.array(
            [datetime.datetime(2024, 1, day, tzinfo=datetime.timezone.utc) for day in (1, 2, 3, 4)]
        ),
        "row": [3, 2, 1, 0],
        "when": [1, 2, 3, 4],
    }
)
QUERY = pa.table({"colour": ["blue"], "price": [50.0]})


def passing(text, query=QUERY):
    read = read_filter(text, ITEMS.schema, query.schema)
    with opened_items(ITEMS, [read]) as ask:
        return "".join(ITEMS["item_id"].take(pa.array(ask(read, query))).to_pylist())


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("colour = 'red' and price < 50", "ad"),
        ("price is null or item_id = 'b'", "bc"),
        ("not (price < 50)", "b"),  # null is neither
        ("COLOUR = query.Colour", "b"),
        ("price < query.price and colour <> query.colour", "ad"),
        ("list_contains(tags, 'new')", "ad"),
        ("len(list_filter(tags, lambda x: x = 'sale')) > 0", "d"),
        ("len(list_filter(tags, lambda X: x = 'sale')) > 0 and Items.price > 0", "d"),
        ("len(list_filter(tags, lambda price: price = 'new')) > 0 and price < 20", "a"),
        ("price < Query.price and query.PRICE > 40", "ad"),
        ("added >= '2024-01-03'", "cd"),
        ('row < 2 and "when" > 2', "cd"),
        ("items.price in (10, 40) -- these two", "ad"),
        ("cast(size as int) > 9", "c"),  # what cannot be computed does not pass
        ("item_id = 'a' or cast(size as int) > 9", "ac"),
        ("true", "abcd"),
        ("query.price > 60", ""),
        ("colour = '\U0001f600' or colour like 're_'", "acd"),
    ],
)
def test_items_pass_for_which_the_expression_is_true(text, ids):
    assert passing(text) == ids


def test_what_only_items_show_to_be_no_filter_is_one_sentence():
    with pytest.raises(LookalikeError, match=r"can be computed.*'zz'.*Invalid escape string"):
        passing("size like '%a%' escape 'zz'")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("brand = 'x'", "there is no column brand"),
        ("price < query.size", "there is no column query.size"),
        ("a.b.c = 1", "there is no column a.b.c"),
        ("rowid = 1", "there is no column rowid"),
        ("price < 'x'", "Could not convert string 'x' to DOUBLE"),
        ("size < 5", "Cannot compare values of type VARCHAR"),
        ("price", "it is DOUBLE where true or false is wanted"),
        ("null", "where true or false is wanted"),
        ("price <", "syntax error"),
        ("when > 2", 'a column that is called as a word of SQL is in quotes: "when"'),
        ("WHEN > 2", 'a column that is called as a word of SQL is in quotes: "WHEN"'),
        ("", "it is empty"),
        ("price < 1 /*", "unterminated"),
        ("'\ud800' = size", "no text"),
        ("1; drop table items", "syntax error"),
        ("true; copy items to 'x.csv'", "syntax error"),
        ("true) from items where (true", "syntax error"),
        ("true) union select (true", "syntax error"),
        ("true from items", "syntax error"),
        ("price < 1, true", "where true or false is wanted"),
        ("distinct true", "syntax error"),
        ("(select true)", "expected no subquery"),
        ("true; true", "syntax error"),
        ("true), (true", "syntax error"),
        ("price < 1) and (true", "syntax error"),
        ("true limit 1", "syntax error"),
        ("item_id in (select item_id from items)", "expected no subquery"),
        ("exists (from read_text('/etc/passwd'))", "expected no subquery"),
        ("read_csv('/etc/passwd') = 1", "table function"),
        ("count(*) > 1", "cannot contain aggregates"),
        ("row_number() over () > 1", "expected no window"),
        ("columns('p.*') > 3", "expected no star"),
        ("price > $1", "expected no parameter"),
        ("unnest(tags) = 'new'", "UNNEST"),
        ("random() < 0.5", "random is not the same from run to run"),
        ("added > now()", "now is not the same from run to run"),
        ("added > current_date", "there is no column current_date"),
        ("pg_sleep(100) is null", "pg_sleep is not the same"),
        ("error('x')", "error is not the same"),
        ("getenv('HOME') = 'x'", "does not exist"),
        ("repeat('x', 10000000000) = size", "makes values of any length"),
        ("(" * 10_000, "nested deeper than"),
        ("(" * 100 + "true" + ")" * 100 + " and " + "(" * 101 + "true" + ")" * 101, "nested deeper than"),
        ("not " * 5_000 + "true", "depth"),
        ("true or " * 200_000 + "true", "longer than"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_filter_is_one_sentence_that_names_the_columns(text, reason):
    with pytest.raises(LookalikeError, match=reason) as raised:
        read_filter(text, ITEMS.schema, QUERY.schema)
    sentence = str(raised.value)
    assert sentence.startswith("Expected a filter in SQL over item_id: string, price: double, ")
    assert "and, of the query, query.colour: string, query.price: double. Received: " in sentence
    assert "\n" not in sentence
    assert len(sentence) < 1000


def test_columns_that_differ_in_case_alone_are_not_guessed():
    schema = pa.schema([("Price", pa.int64()), ("price", pa.int64()), ("size", pa.int64())])
    assert read_filter("size = 1", schema).columns == ("size",)
    with pytest.raises(LookalikeError, match="Price and price are one column in SQL"):
        read_filter("price = 1", schema)


def test_a_long_list_of_values_is_a_filter():
    ids = ", ".join(f"'{number}'" for number in range(2_000))
    assert passing(f"size in ({ids})") == "ac"


def test_files_and_settings_are_out_of_reach_even_of_what_the_check_would_miss(tmp_path, monkeypatch):
    import duckdb

    from lookalike.index.filters import _parser

    folder = tmp_path / ".tmp"  # which DuckDB takes for its own where the command runs
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    (folder / "secret.csv").write_text("a\n1\n")
    parser = _parser.__wrapped__()
    for statement in (
        f"FROM '{folder}/secret.csv'",
        f"COPY (SELECT 1) TO '{folder}/made.csv'",
        f"ATTACH '{folder}/made.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            parser.cursor().execute(statement)
    assert os.listdir(folder) == ["secret.csv"]


def test_items_are_read_in_order_whatever_pieces_they_come_in():
    many = pa.table({"number": pa.chunked_array([np.arange(70_000), np.arange(70_000, 150_000)])})
    read = read_filter("number % 7 = 3", many.schema)
    with opened_items(many, [read]) as ask:
        np.testing.assert_array_equal(ask(read, None), np.flatnonzero(np.arange(150_000) % 7 == 3))


def test_a_column_may_be_called_as_the_number_of_a_row_in_any_case():
    items = pa.table({"Row": [5, 6], "row_": [7, 8]})
    read = read_filter("row = 6 and row_ = 8", items.schema)
    with opened_items(items, [read]) as ask:
        assert ask(read, None).tolist() == [1]
