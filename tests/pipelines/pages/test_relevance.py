"""What is relevant, by a folder, a field and a file of judgements."""

from __future__ import annotations

import json

import pytest

from lookalike.config.job import Corpus
from lookalike.model.errors import LookalikeError
from lookalike.pages.relevance import relevance_of

CORPUS = Corpus(shards="shards")


def test_by_directory() -> None:
    judge = relevance_of("directory", None, CORPUS, {}).judge
    assert [judge(*ids, None) for ids in (("a/q", "a/x"), ("a/q", "b/x"), ("a/q", "x"), ("q", "x"))] == [
        True,
        False,
        False,
        None,
    ]


def test_by_a_field_of_both(tmp_path) -> None:
    rows = [
        {"query_id": "a", "path": "a.jpg", "number": 3},
        {"query_id": "b", "path": "b.jpg", "number": None},
    ]
    table = tmp_path / "queries.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = relevance_of("number", str(table), CORPUS, {"number": "int64"})
    assert found.columns == ("number",)
    row = {"query_id": "a", "item_id": "x", "number": 3}
    assert found.of_row(row) is True
    assert found.of_row(row | {"number": "3"}) is True  # as CSV has it
    assert found.of_row(row | {"number": None}) is False
    assert found.of_row(row | {"query_id": "b"}) is None


def test_by_a_file_of_judgements(tmp_path) -> None:
    (tmp_path / "qrels.txt").write_text("a 0 x 1\na 0 y -1\n")
    judge = relevance_of(str(tmp_path / "qrels.txt"), None, CORPUS, {}).judge
    assert [judge(*ids, None) for ids in (("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"))] == [
        True,
        False,
        False,
        None,
    ]


def test_what_cannot_tell_is_refused(tmp_path) -> None:
    with pytest.raises(LookalikeError, match="now: title"):
        relevance_of("colour", None, CORPUS, {"title": "string"})
    with pytest.raises(LookalikeError, match="--queries"):
        relevance_of("title", None, CORPUS, {"title": "string"})
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(LookalikeError, match="ids of items"):
        relevance_of("title", str(tmp_path / "ids.txt"), CORPUS, {"title": "string"})
    (tmp_path / "queries.csv").write_text("query_id,path,title\na,a.jpg,\n")
    with pytest.raises(LookalikeError, match="queries with the field title"):
        relevance_of("title", str(tmp_path / "queries.csv"), CORPUS, {"title": "string"})
