"""Figures of rankings: their names and values, and every query in exactly one table."""

import numpy as np
import pyarrow as pa
import pytest

from lookalike.evaluate.labels import make_labels
from lookalike.evaluate.measurements import Measurements, Settings, measure, metric_names
from lookalike.evaluate.ranking import RankedCorpus
from tests.support.index_shards import shard_of

AT_ONE = Settings(ks=(1, 2))


def test_metrics_are_named_as_in_trec_eval_for_each_k():
    names = metric_names(AT_ONE)
    assert names[:5] == ["map", "map_trapezoid", "map@r", "r_precision", "mrr"]
    assert names[5:] == [
        f"{name}@{k}" for name in ("hit_rate", "precision", "recall", "ndcg") for k in (1, 2)
    ]
    assert metric_names(Settings(ks=(1,), difficulty=True))[-1] == "precision_until_last@1"


def test_values_can_be_checked_in_the_head():
    found = measure(np.array([[0, 1, 1, 0], [2, 0, 0, 0]]), AT_ONE)
    assert list(found) == metric_names(AT_ONE)
    expected = {
        "map": [(1 / 2 + 2 / 3) / 2, 1],
        "map@r": [1 / 4, 1],
        "r_precision": [1 / 2, 1],
        "mrr": [1 / 2, 1],
        "hit_rate@1": [0, 1],
        "hit_rate@2": [1, 1],
        "precision@2": [1 / 2, 1 / 2],
        "recall@2": [1 / 2, 1],
        "ndcg@1": [0, 1],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


@pytest.mark.parametrize(("exponential", "gains"), [(False, (2, 1)), (True, (3, 1))])
def test_a_grade_is_worth_itself_or_two_to_its_power_less_one(exponential, gains):
    found = measure(np.array([[1, 2]]), Settings(ks=(2,), exponential=exponential))["ndcg@2"]
    discount = 1 / np.log2(3)
    best, second = gains
    np.testing.assert_allclose(found, [(second + best * discount) / (best + second * discount)])


@pytest.fixture
def corpus() -> RankedCorpus:
    """Three items: near to the first axis are a, then b, then c."""
    vectors = [[1, 0], [0.8, 0.6], [0, 1]]
    return RankedCorpus([shard_of(["a", "b", "c"], vectors)], "cosine", pa.array([], pa.string()))


def added(corpus, ids, queries, grades, labels=None) -> Measurements:
    measurements = Measurements(corpus, labels, AT_ONE)
    grades = np.array(grades, np.int8)
    keys = corpus.keys(np.array(queries, np.float32))
    measurements.add(ids, keys, grades)
    return measurements


def test_a_query_to_which_nothing_is_relevant_is_left_out_and_the_others_are_measured(corpus):
    found = added(corpus, ["q", "lone", "r"], [[1, 0], [1, 0], [0, 1]], [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    table = found.per_query()
    assert table["query_id"].to_pylist() == ["q", "r"]
    assert table["mrr"].to_pylist() == pytest.approx([1 / 2, 1 / 3])
    assert table["top"].to_pylist() == [["a", "b", "c"], ["c", "b", "a"]]
    assert table["top_grades"].to_pylist() == [[0, 1, 0], [0, 0, 1]]
    assert found.left_out_table().to_pylist() == [
        {"query_id": "lone", "reason": "lone", "detail": "no relevant item is in the corpus"}
    ]


def test_the_curve_is_the_mean_over_queries_and_there_is_none_without_them(corpus):
    found = added(corpus, ["q", "r"], [[1, 0], [1, 0]], [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(found.mean_curve(), [0.75] * 11)
    assert added(corpus, ["q"], [[1, 0]], [[0, 0, 0]]).mean_curve() is None


def test_classes_of_the_query_and_of_its_first_items_are_kept(corpus):
    labels = make_labels("class", pa.chunked_array([["x", None, "y"]], pa.string()), {"q": "y"}.get)
    table = added(corpus, ["q"], [[1, 0]], [[0, 0, 1]], labels).per_query()
    assert table["class"].to_pylist() == ["y"]
    assert table["top_classes"].to_pylist() == [["x", None, "y"]]


def test_measurements_of_nothing_have_their_columns(corpus):
    table = Measurements(corpus, None, AT_ONE).per_query()
    assert len(table) == 0
    assert table.column_names[3:-3] == metric_names(AT_ONE)
