"""The numbers of answers, counted by hand, wherever blocks are cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.pages import result_tables
from lookalike.pages.overview import look_over
from lookalike.pages.relevance import Relevance
from lookalike.pages.result_tables import AnswerTables, find_answers
from lookalike.query.answering import FAILURES_SCHEMA
from lookalike.query.tables import open_table
from tests.pipelines.pages.test_result_tables import SCHEMA

FOUND = {"a": [("x", 0.9), ("y", 0.8), ("z", 0.1)], "b": [("x", 0.7)], "c": [("y", 0.6), ("x", 0.5)]}
"""Query -> items and scores."""


def write(folder, failures: list[tuple[str, str, str]] = ()) -> AnswerTables:
    rows = [
        {
            "query_id": q,
            "rank": n,
            "item_id": item,
            "score": score,
            "probability": score / 2,
            "title": item * 2,
        }
        for q, found in FOUND.items()
        for n, (item, score) in enumerate(found, 1)
    ]
    with open_table(str(folder / "results.parquet"), SCHEMA, "parquet") as table:
        table.write_table(pa.Table.from_pylist(rows, SCHEMA))
    with open_table(str(folder / "failures.parquet"), FAILURES_SCHEMA, "parquet") as table:
        names = FAILURES_SCHEMA.names
        failed = [dict(zip(names, one, strict=True)) for one in failures]
        table.write_table(pa.Table.from_pylist(failed, FAILURES_SCHEMA))
    tables = find_answers(str(folder))
    assert tables
    return tables


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_numbers_of_queries_and_items(tmp_path, monkeypatch, block: int) -> None:
    monkeypatch.setattr(result_tables, "_ROWS", block)
    relevance = Relevance("title", lambda q, item, title: None if q == "b" else title == "xx", ("title",))
    found = look_over(write(tmp_path), relevance)
    assert np.allclose(found.best, [0.9, 0.7, 0.6])
    assert np.allclose(found.second, [0.8, np.nan, 0.5], equal_nan=True)
    assert np.allclose(found.probability, [0.45, 0.35, 0.3])
    assert found.right.tolist() == [1, -1, 0]
    assert (found.answered, found.matches, found.items) == (3, 6, 3)
    assert found.hubs == (("x", 3), ("y", 2), ("z", 1))


def test_failures_are_counted_by_reason(tmp_path, monkeypatch) -> None:
    failures = [(f"q{n}", "decode", "no image") for n in range(5)] + [
        ("z", "id", "empty"),
        ("y", "id", "other"),
    ]
    found = look_over(write(tmp_path, failures))
    assert found.failed == 7
    assert [(one.stage, one.error, one.count, one.examples) for one in found.reasons] == [
        ("decode", "no image", 5, ("q0", "q1", "q2")),
        ("id", "empty", 1, ("z",)),
        ("id", "other", 1, ("y",)),
    ]
    monkeypatch.setattr("lookalike.pages.overview._MOST_REASONS", 1)
    found = look_over(write(tmp_path, failures))
    assert [(one.error, one.count) for one in found.reasons] == [("no image", 5), ("other reasons", 2)]


def test_without_relevance_nothing_is_right_or_wrong(tmp_path) -> None:
    assert not len(look_over(write(tmp_path)).right)
