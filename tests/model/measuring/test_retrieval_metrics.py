"""Metrics: cases to be checked in the head, slow definitions written out, and trec_eval itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.model.measuring.retrieval_metrics import (
    average_precision,
    average_precision_trapezoid,
    hit_rate_at_k,
    ideal_grades,
    interpolated_precision,
    map_at_r,
    ndcg_at_k,
    precision_at_k,
    precision_until_last,
    r_precision,
    recall_at_k,
    reciprocal_rank,
)

# Relevant at ranks 1 and 3; at 2, 3 and 4; at the last rank of five; nowhere, although two are in the corpus.
GRADES = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
TOTALS = np.array([2, 3, 1, 2])
CASES = {
    "hit_rate@1": (hit_rate_at_k(GRADES, 1), [1, 0, 0, 0]),
    "hit_rate@3": (hit_rate_at_k(GRADES, 3), [1, 1, 0, 0]),
    "precision@2": (precision_at_k(GRADES, 2), [1 / 2, 1 / 2, 0, 0]),
    "precision@10": (precision_at_k(GRADES, 10), [2 / 10, 3 / 10, 1 / 10, 0]),
    "precision_until_last@4": (precision_until_last(GRADES, TOTALS, 4), [2 / 3, 3 / 4, 0, 0]),
    "precision_until_last@10": (precision_until_last(GRADES, TOTALS, 10), [2 / 3, 3 / 4, 1 / 5, 0]),
    "recall@2": (recall_at_k(GRADES, TOTALS, 2), [1 / 2, 1 / 3, 0, 0]),
    "r_precision": (r_precision(GRADES, TOTALS), [1 / 2, 2 / 3, 0, 0]),
    "map@r": (map_at_r(GRADES, TOTALS), [1 / 2, (1 / 2 + 2 / 3) / 3, 0, 0]),
    "map": (average_precision(GRADES, TOTALS), [(1 + 2 / 3) / 2, (1 / 2 + 2 / 3 + 3 / 4) / 3, 1 / 5, 0]),
    "map_trapezoid": (
        average_precision_trapezoid(GRADES, TOTALS),
        [
            ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2,
            ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3,
            (0 + 1 / 5) / 2,
            0,
        ],
    ),
    "mrr": (reciprocal_rank(GRADES), [1, 1 / 2, 1 / 5, 0]),
}


@pytest.mark.parametrize("name", CASES)
def test_hand_made_rankings_have_the_values_that_can_be_checked_in_the_head(name):
    found, expected = CASES[name]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected)


def test_ndcg_is_1_for_the_best_order_and_the_ideal_stops_at_r_or_k():
    graded = np.array([[3, 2, 0, 1]])
    ideal = ideal_grades(graded, 4)
    assert ideal.tolist() == [[3, 2, 1, 0]]
    assert ndcg_at_k(graded, ideal, 2).tolist() == [1.0]
    second, third, fourth = 1 / math.log2(3), 1 / 2, 1 / math.log2(5)
    linear = (3 + 2 * second + fourth) / (3 + 2 * second + third)
    assert ndcg_at_k(graded, ideal, 4)[0] == pytest.approx(linear)
    exponential = (7 + 3 * second + fourth) / (7 + 3 * second + third)
    assert ndcg_at_k(graded, ideal, 4, exponential=True)[0] == pytest.approx(exponential)
    # Two are relevant, one was found at rank 2; a third rank adds nothing to the ideal.
    assert ndcg_at_k(np.array([[0, 1, 0]]), np.array([[1, 1]]), 3)[0] == pytest.approx(second / (1 + second))


def test_ndcg_with_a_k_beyond_the_ranking_is_that_of_all_of_it():
    graded = np.array([[0, 2, 1]])
    ideal = ideal_grades(graded, 100)
    assert ndcg_at_k(graded, ideal, 100) == ndcg_at_k(graded, ideal, 3)


def test_a_perfect_ranking_has_1_everywhere_and_the_curve_stays_there():
    grades, totals = np.array([[2, 1, 1, 0, 0]]), np.array([3])
    for metric in (map_at_r, r_precision, average_precision, average_precision_trapezoid):
        assert metric(grades, totals).tolist() == [1.0]
    assert precision_until_last(grades, totals, 5).tolist() == [1.0]
    assert interpolated_precision(grades, totals).tolist() == [[1.0] * 11]


def test_the_interpolated_curve_takes_the_best_precision_at_that_recall_or_a_higher_one():
    # Precision 1/2 at recall 1/4, 2/3 at 2/4, 3/4 at 3/4; the fourth is not found.
    curve = interpolated_precision(np.array([[0, 1, 1, 1]]), np.array([4]))[0]
    assert curve[:8].tolist() == [3 / 4] * 8
    assert curve[8:].tolist() == [0.0] * 3


def test_recall_levels_are_whole_numbers_of_items():
    # 0.3 * 10 and 0.7 * 10 are not exact in binary; the third and the seventh item must do.
    grades = np.array([[1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1]])
    curve = interpolated_precision(grades, np.array([10]))[0]
    assert curve[3] == 1.0
    assert curve[7] == pytest.approx(7 / 8)


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_1_is_refused(k):
    with pytest.raises(ValueError, match="Expected k >= 1"):
        hit_rate_at_k(GRADES, k)


@pytest.mark.parametrize(
    ("totals", "message"),
    [
        (np.array([2, 3, 0, 2]), "lone"),
        (np.array([2, 2, 1, 2]), "no more relevant items"),
        (np.array([2, 3, 1]), "totals of shape"),
    ],
)
@pytest.mark.parametrize("metric", [average_precision, average_precision_trapezoid, map_at_r, r_precision])
def test_totals_that_cannot_be_are_refused_and_nothing_is_nan(metric, totals, message):
    with pytest.raises(ValueError, match=message):
        metric(GRADES, totals)


def test_ndcg_of_a_lone_query_is_refused():
    with pytest.raises(ValueError, match="lone"):
        ndcg_at_k(np.array([[0, 0]]), np.array([[0, 0]]), 2)


def test_grades_of_one_dimension_are_refused():
    with pytest.raises(ValueError, match="shape"):
        reciprocal_rank(np.array([1, 0]))


@st.composite
def rankings(draw):
    """Some rankings of the same length, and how many relevant items were not found: at least one each in all."""
    width = draw(st.integers(1, 12))
    rows = draw(st.lists(st.lists(st.integers(0, 3), min_size=width, max_size=width), min_size=1, max_size=5))
    grades = np.array(rows)
    missed = np.array(draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    found = (grades > 0).sum(axis=1)
    return grades, found + np.where(found == 0, np.maximum(missed, 1), missed)


def written_out(row: list[int], total: int, k: int) -> dict[str, float]:
    """The definitions, one rank after the other."""
    hits, area, old_precision, old_recall, precisions, precisions_r = 0, 0.0, 1.0, 0.0, 0.0, 0.0
    for rank, grade in enumerate(row, 1):
        if grade:
            hits += 1
            precisions += hits / rank
            precisions_r += hits / rank if rank <= total else 0
        precision, recall = hits / rank, hits / total
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_precision, old_recall = precision, recall
    last = max((rank for rank, grade in enumerate(row, 1) if grade), default=0)
    depth = min(last, k) if hits == total else k
    return {
        "map": precisions / total,
        "map_trapezoid": area,
        "map@r": precisions_r / total,
        "r_precision": sum(g > 0 for g in row[:total]) / total,
        "mrr": next((1 / rank for rank, g in enumerate(row, 1) if g), 0.0),
        "hit_rate": float(any(row[:k])),
        "precision": sum(g > 0 for g in row[:k]) / k,
        "precision_until_last": sum(g > 0 for g in row[:k]) / depth,
        "recall": sum(g > 0 for g in row[:k]) / total,
    }


def measured(grades: np.ndarray, totals: np.ndarray, k: int) -> dict[str, np.ndarray]:
    return {
        "map": average_precision(grades, totals),
        "map_trapezoid": average_precision_trapezoid(grades, totals),
        "map@r": map_at_r(grades, totals),
        "r_precision": r_precision(grades, totals),
        "mrr": reciprocal_rank(grades),
        "hit_rate": hit_rate_at_k(grades, k),
        "precision": precision_at_k(grades, k),
        "precision_until_last": precision_until_last(grades, totals, k),
        "recall": recall_at_k(grades, totals, k),
    }


@given(rankings(), st.integers(1, 15))
def test_every_metric_agrees_with_its_definition_written_out(ranking, k):
    grades, totals = ranking
    found = measured(grades, totals, k)
    for i, (row, total) in enumerate(zip(grades.tolist(), totals.tolist(), strict=True)):
        for name, expected in written_out(row, total, k).items():
            assert found[name][i] == pytest.approx(expected), name
    for values in found.values():
        assert ((values >= 0) & (values <= 1)).all()


@given(rankings(), st.integers(1, 15))
@settings(max_examples=60)
def test_trec_eval_gives_the_same(ranking, k):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    grades, totals = ranking
    run, qrel = {}, {}
    for i, (row, total) in enumerate(zip(grades.tolist(), totals.tolist(), strict=True)):
        run[f"q{i}"] = {f"d{rank}": -float(rank) for rank in range(len(row))}
        judged = {f"d{rank}": grade for rank, grade in enumerate(row)}
        missed = {f"missed{n}": 1 for n in range(total - sum(g > 0 for g in row))}
        qrel[f"q{i}"] = judged | missed
    asked = {
        "map",
        "recip_rank",
        "Rprec",
        f"P.{k}",
        f"recall.{k}",
        f"success.{k}",
        f"ndcg_cut.{k}",
        "iprec_at_recall",
    }
    theirs = pytrec_eval.RelevanceEvaluator(qrel, asked).evaluate(run)
    ideal = np.array([sorted(judged.values(), reverse=True)[:15] + [0] * 15 for judged in _padded(qrel)])
    ours = measured(grades, totals, k)
    curve = interpolated_precision(grades, totals)
    for i in range(len(grades)):
        expected = theirs[f"q{i}"]
        for name, their_name in (
            ("map", "map"),
            ("mrr", "recip_rank"),
            ("r_precision", "Rprec"),
            ("precision", f"P_{k}"),
            ("recall", f"recall_{k}"),
            ("hit_rate", f"success_{k}"),
        ):
            assert ours[name][i] == pytest.approx(expected[their_name], abs=1e-6), name
        assert ndcg_at_k(grades, ideal, k)[i] == pytest.approx(expected[f"ndcg_cut_{k}"], abs=1e-6)
        for level in range(11):
            # trec_eval takes int(0.7 * 3 + 0.9), which is 2 and not 3, for the third of 3 items.
            if level * totals[i] % 10 != 1:
                theirs_here = expected[f"iprec_at_recall_{level / 10:.2f}"]
                assert curve[i, level] == pytest.approx(theirs_here, abs=1e-6), level


def _padded(qrel: dict[str, dict[str, int]]) -> list[dict[str, int]]:
    """As many judgements for each query, the added ones not relevant."""
    most = max(map(len, qrel.values()))
    return [judged | {f"pad{n}": 0 for n in range(most - len(judged))} for judged in qrel.values()]
