"""What evaluations come to: classes by size, means, and differences that can be checked in the head."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.evaluate.job import evaluate
from lookalike.evaluate.summary import (
    ClassSizes,
    Side,
    compare,
    comparisons,
    metrics_of,
    per_class,
    summary,
    values_of,
)
from tests.support.evaluations import evaluation, per_query


def rows(evaluation) -> dict[str, dict]:
    return {row["query_id"]: row for row in evaluation.per_query.to_pylist()}


def test_classes_are_grouped_by_their_items_and_averaged_on_their_own(zoo, asked):
    (found,) = evaluate(zoo.loaded, asked(["cat/1", "cat/2", "dog/1", "eel/1"]), "directory")
    table = per_class(found, ClassSizes(head_over=10, tail_under=4))
    assert [tuple(row[n] for n in ("class", "items", "queries", "group")) for row in table.to_pylist()] == [
        ("cat", 12, 2, "head"),
        ("dog", 6, 1, "middle"),
        ("eel", 3, 1, "tail"),
    ]
    cats = [rows(found)[q]["map"] for q in ("cat/1", "cat/2")]
    assert table["map"][0].as_py() == pytest.approx(np.mean(cats))


@pytest.mark.parametrize(
    ("items", "group"), [(101, "head"), (100, "middle"), (20, "middle"), (19, "tail"), (0, "tail")]
)
def test_a_class_is_of_the_head_above_one_size_and_of_the_tail_below_another(items, group):
    assert ClassSizes().group(items) == group


def test_metrics_are_all_that_is_a_fraction():
    table = per_query(["a", "b"], map=[0.5, 1.0], mrr=[0.25, 0.75])
    assert metrics_of(table) == ["map", "mrr"]
    assert values_of(table).tolist() == [[0.5, 0.25], [1.0, 0.75]]
    assert values_of(per_query(["a", "b"])).shape == (2, 0)


def test_a_metric_has_its_mean_over_queries_over_classes_and_over_each_group():
    table = per_query(["a", "b", "c", "d"], ["cat", "cat", "dog", None], map=[0.0, 1.0, 0.75, 0.25])
    found = evaluation(table, {"cat": 12, "dog": 3, "eel": 2}, left_out=[("x", "failed"), ("y", "lone")])
    told = summary(found, per_class(found, ClassSizes(10, 5)), resamples=100)
    figures = told["metrics"]["map"]
    assert {name: figures[name] for name in ("mean", "macro", "head", "tail")} == {
        "mean": 0.5,
        "macro": 0.625,
        "head": 0.5,
        "tail": 0.75,
    }
    assert "middle" not in figures
    assert 0 <= figures["low"] <= 0.5 <= figures["high"] <= 1
    counts = told["counts"]
    assert (counts["read"], counts["measured"], counts["failed"], counts["lone"]) == (6, 4, 1, 1)
    assert counts["without_class"] == 1
    assert told["classes"]["in_corpus"] == 3
    assert told["classes"]["head"] == {"classes": 1, "queries": 2}


def test_of_no_queries_there_are_no_figures():
    found = evaluation(per_query([], map=[]), curve=None)
    told = summary(found, per_class(found, ClassSizes()), resamples=100)
    assert (told["metrics"], told["precision_recall"]) == ({}, None)


def side(table, job="job", queries="queries/", setup="all"):
    return Side(job, setup, queries, table)


def test_in_pairs_queries_go_by_their_id_and_those_of_one_side_are_counted():
    first = side(per_query(["a", "b", "c"], map=[0.5, 0.25, 1.0]), "one")
    second = side(per_query(["x", "c", "a"], map=[0.0, 1.0, 1.0]), "two")
    found = compare(first, second, paired=True, resamples=100)
    assert (found["first"], found["second"], found["queries"], found["not_in_both"]) == (
        "one",
        "two",
        [2, 2],
        [1, 1],
    )
    figures = found["metrics"]["map"]
    assert [figures[name] for name in ("first", "second", "difference")] == [0.75, 1.0, 0.25]
    assert figures["relative"] == pytest.approx(1 / 3)
    assert 0 < figures["p"] <= 1
    assert found["other_relevant"] == 0


def test_other_queries_are_taken_as_they_are_and_have_no_p():
    first, second = (side(per_query(ids, map=values)) for ids, values in (("ab", [0.5, 0.5]), ("c", [0.0])))
    found = compare(first, second, paired=False, resamples=100)
    assert found["queries"] == [2, 1]
    figures = found["metrics"]["map"]
    assert (figures["difference"], figures["relative"], figures["p"]) == (-0.5, -1.0, None)
    assert compare(second, first, paired=False, resamples=100)["metrics"]["map"]["relative"] is None


def test_where_no_query_or_metric_is_in_both_nothing_is_compared():
    one = side(per_query(["a"], map=[0.5]))
    assert compare(one, side(per_query(["b"], map=[0.5])), paired=True, resamples=100) is None
    assert compare(one, side(per_query(["a"], mrr=[0.5])), paired=True, resamples=100) is None


def test_every_job_is_compared_with_the_first_of_its_set_up_in_pairs_only_on_the_same_queries():
    table = per_query(["a", "b"], map=[0.5, 0.75])
    sides = [
        side(table, "one"),
        side(table, "two"),
        side(table, "three", "others/"),
        side(table, "two", setup="hard"),
    ]
    found = comparisons(sides, [], 100)
    assert [(c["first"], c["second"], c["paired"]) for c in found] == [
        ("one", "two", True),
        ("one", "three", False),
    ]
    earlier = comparisons(sides[1:3], [side(table, "before", "before/")], 100)
    assert [(c["first"], c["second"], c["paired"]) for c in earlier] == [
        ("before", "two", True),
        ("before", "three", True),
    ]
