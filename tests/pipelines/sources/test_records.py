"""The directory and the class of a record."""

import pytest

from lookalike.sources.records import Record, class_of, directory_of


@pytest.mark.parametrize(
    ("item_id", "directory"),
    [("cat/1.jpg", "cat"), ("a/b/c.jpg", "a/b"), ("c.jpg", None), ("/c.jpg", None), ("cat/", "cat")],
)
def test_the_directory_is_what_stands_before_the_last_slash(item_id, directory):
    assert directory_of(item_id) == directory


@pytest.mark.parametrize(
    ("metadata", "field", "expected"),
    [
        ({"colour": "red"}, "colour", "red"),
        ({"colour": 7}, "colour", "7"),
        ({"colour": 0}, "colour", "0"),
        ({"colour": False}, "colour", "False"),
        ({"colour": ""}, "colour", None),
        ({"colour": None}, "colour", None),
        ({}, "directory", "cat"),
        ({"directory": "mine"}, "directory", "mine"),
        ({"directory": None}, "directory", None),
    ],
)
def test_a_class_is_the_value_as_text_and_none_where_it_is_empty(metadata, field, expected):
    assert class_of(Record("cat/1.jpg", b"", 0, metadata), field) == expected
