"""The column `probability`: of which matches, what it leaves out, and when there is none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lookalike.index.answers import Answers
from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.model.measuring.calibration import Logistic
from lookalike.query.probability import Probability
from tests.conftest import tune
from tests.support.calibrations import CURVE, calibration, with_calibration
from tests.support.queries import corpus, noisy

WORKERS = ("--", "--runner=DirectRunner")


@pytest.fixture
def queries(copied):
    """Thirty vectors near items, some so near that they are probable matches."""
    _, vectors = corpus(copied)
    return copied.vectors_file(noisy(vectors, 30), [f"q{i}" for i in range(30)])


def test_it_stands_behind_the_score_and_is_that_of_the_score(copied, queries):
    assert copied.query(queries).code == 0
    plain = copied.results
    with_calibration(copied)
    assert copied.query(queries).code == 0
    found = copied.results
    assert found.column_names == ["query_id", "rank", "item_id", "score", "probability", "title", "number"]
    assert found.drop_columns("probability").equals(plain)
    assert found.schema.field("probability").type == pa.float32()
    expected = CURVE.apply(found["score"].to_numpy()).astype(np.float32)
    np.testing.assert_array_equal(found["probability"].to_numpy(), expected)


def test_the_same_bytes_however_it_is_done_and_only_what_is_probable(copied, queries):
    with_calibration(copied)
    assert copied.query(queries).code == 0
    whole = copied.results
    path = copied.folder / "out" / "results.parquet"
    made = []
    for way in ((), WORKERS):
        done = copied.query(queries, "--min-probability", "0.6", *way)
        assert done.code == 0, done
        made.append(path.read_bytes())
    assert made[0] == made[1]
    assert copied.results.equals(whole.filter(pc.greater_equal(whole["probability"], np.float32(0.6))))
    assert 0 < len(copied.results) < len(whole)
    without = 30 - len(set(copied.results["query_id"].to_pylist()))
    assert f"failed       {without}: no item meets the conditions" in done.out
    assert f"({len(copied.results):,} rows)" in done.out
    copied.set(query={"min_probability": 0.6})
    assert copied.query(queries).code == 0
    assert path.read_bytes() == made[0]
    assert copied.query(queries, "--min-probability", "0").code == 0
    assert copied.results.equals(whole)


def test_under_euclidean_it_is_that_of_the_distance(copied, queries):
    copied.set(metric="euclidean").nightly()
    with_calibration(copied, metric="euclidean")
    assert copied.query(queries).code == 0
    expected = CURVE.apply(-copied.results["score"].to_numpy()).astype(np.float32)
    np.testing.assert_array_equal(copied.results["probability"].to_numpy(), expected)


def test_without_a_calibration_a_least_probability_is_refused_in_one_sentence(copied, queries):
    done = copied.query(queries, "--min-probability", "0.9")
    assert done.code == 2
    assert done.sentence.startswith(
        "Expected a calibration for --min-probability: `lookalike evaluate --calibrate`"
    )
    assert done.sentence.endswith(f"Received: none beside {copied.settings['encoder']}")
    assert not (copied.folder / "out").exists()


def test_with_other_steps_results_have_none_and_the_log_says_so(copied, queries):
    with_calibration(copied, steps=PostProcessing(query_expansion=QueryExpansion(k=3)))
    done = copied.query(queries)
    assert done.code == 0
    assert "probability" not in copied.results.column_names
    assert "results have no probability: " in done.err
    assert "query expansion 3,3, in use are none" in done.err
    assert "does not hold here" in copied.query(queries, "--min-probability", "0.9").sentence
    tune(copied, "--query-expansion", "3,3")
    assert copied.query(queries).code == 0
    assert "probability" in copied.results.column_names


def test_more_matches_than_were_looked_at_are_told_of(copied, queries):
    with_calibration(copied, k=3)
    assert "fitted to" not in copied.query(queries, "-k", 3).err
    assert (
        "fitted to the first 3 matches of a query, and are too high for the first 4:"
        in copied.query(queries, "-k", 4).err
    )


@pytest.mark.parametrize("least", ["1.5", "-0.1", "nan", "x"])
def test_what_is_no_probability_is_refused(copied, queries, least):
    with_calibration(copied)
    assert copied.query(queries, "--min-probability", least).code == 2


def test_matches_that_were_put_in_another_order_are_ranked_anew():
    near = np.array([[0.9, 0.99, -np.inf], [0.1, 0.2, 0.3], [0.97, 0.1, 0.98]], np.float32)
    items = pa.table({"item_id": list("abcdefgh")})
    vectors = np.arange(8, dtype=np.float32)[:, None]
    found = Probability(calibration("a"), 0.6).only_probable(Answers(near, items, vectors))
    assert found.items["item_id"].to_pylist() == ["b", "f", "h"]
    assert found.query.tolist() == [0, 2, 2]
    assert found.rank.tolist() == [1, 1, 2]
    assert found.vectors[:, 0].tolist() == [1, 5, 7]
    assert found.near[found.held].tolist() == near[[0, 2, 2], [1, 0, 2]].tolist()


@pytest.mark.parametrize(
    ("near", "fitted"), [([[0.97, 0.96]], CURVE), ([[-0.5, -0.6]], Logistic(slope=10.0, intercept=5.0))]
)
def test_a_match_of_just_the_least_probability_stays(near, fitted):
    near = np.array(near, np.float32)
    made = calibration("a", fitted=fitted)
    least = float(made.apply(near)[0, 0])
    found = Probability(made, least).only_probable(Answers(near, pa.table({"item_id": ["a", "b"]})))
    assert found.items["item_id"].to_pylist() == ["a"]
