"""Columns of a query table in the results: behind the others, and under names of their own."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.query.carried import carried_columns, carried_fields


def test_names_that_are_taken_get_a_prefix_and_the_filter_is_not_carried():
    columns = pa.table({"where": ["x"], "price": [1], "title": ["y"], "probability": [0.5]})
    fields = carried_fields(columns.schema, ["query_id", "title"])
    assert [(field.name, str(field.type)) for field in fields] == [
        ("price", "int64"),
        ("query.title", "string"),
        ("query.probability", "double"),
    ]
    assert [column.to_pylist() for column in carried_columns(columns)] == [[1], ["y"], [0.5]]


@pytest.mark.parametrize("names", [["title", "query.title"], ["title", "query.title", "b"]])
def test_two_columns_cannot_have_one_name(names):
    schema = pa.schema([(name, pa.string()) for name in names])
    with pytest.raises(LookalikeError, match=r"names differ in the results\. Received: query\.title twice"):
        carried_fields(schema, ["title"])


def test_a_column_cannot_have_the_name_of_what_an_item_has_with_the_prefix():
    schema = pa.schema([("title", pa.string())])
    with pytest.raises(LookalikeError, match=r"Received: query\.title twice"):
        carried_fields(schema, ["title", "query.title"])
