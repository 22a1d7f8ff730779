"""Judgements read from files and fields, and the set-ups of Oxford and Paris."""

import numpy as np
import pyarrow as pa
import pytest

from lookalike.evaluate.labels import make_labels
from lookalike.evaluate.relevance import Judged, SameValue, read_qrels
from lookalike.model.errors import LookalikeError

ITEMS = {"a": 0, "b": 1, "c": 2, "d": 3, "gone": -1}


def written(tmp_path, text):
    path = tmp_path / "file.qrels"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_qrels_are_read_as_trec_and_windows_write_them_and_anything_below_0_is_junk(tmp_path):
    path = written(tmp_path, "\ufeffq1 0 a 1\nq1 0 b -2\r\n\n  q2   Q0 ä/ö.jpg  3\n")
    assert read_qrels(path) == {"q1": {"a": 1, "b": -1}, "q2": {"ä/ö.jpg": 3}}


def test_ids_with_spaces_are_separated_by_tabs(tmp_path):
    path = written(tmp_path, "my query.jpg\t0\tmy item.jpg\t2\n q\t0\t b \t0 \n")
    assert read_qrels(path) == {"my query.jpg": {"my item.jpg": 2}, " q": {" b ": 0}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q 0 a 1\nq 0 a\n", "line 2: expected `query_id iteration item_id grade`"),
        ("q 0 my item 1\n", "line 1: expected"),
        ("q 0 a 0.5\n", "line 1: expected .*whole number"),
        (b"q 0 \xff 1\n", "line 1: expected"),
        ("q 0 a 1\nq 0 a 2\n", "line 2: expected one grade for a and the query q. Received: 1 and 2"),
        ("q 0 a 101\n", "at most 100. Received: 101"),
        ("\n", "Expected judgements. Received: none"),
    ],
)
def test_lines_that_are_no_judgement_are_named(tmp_path, text, said):
    with pytest.raises(LookalikeError, match=said):
        read_qrels(written(tmp_path, text))


def test_the_same_judgement_twice_is_one(tmp_path):
    assert read_qrels(written(tmp_path, "q 0 a 1\nq 1 a 1\n")) == {"q": {"a": 1}}


def test_what_is_not_judged_is_not_relevant_and_unknown_items_count_nowhere():
    judge = Judged({"q1": {"a": 2, "b": -1, "gone": 1}, "q2": {"d": 1}}, ITEMS, 4)
    assert judge.grades(["q2", "q1"], "all").tolist() == [[0, 0, 0, 1], [2, -1, 0, 0]]
    assert judge.unknown == ["gone"]
    assert judge.why_not("q1") is None
    assert judge.why_not("other") == "no judgement names it"


def test_easy_medium_and_hard_decide_what_is_positive_and_what_is_junk():
    # Easy, hard, junk, not relevant.
    judge = Judged({"q": {"a": 2, "b": 1, "c": -1, "d": 0}}, ITEMS, 4, difficulty=True)
    assert judge.setups == ("easy", "medium", "hard")
    assert judge.grades(["q"], "easy").tolist() == [[1, -1, -1, 0]]
    assert judge.grades(["q"], "medium").tolist() == [[1, 1, -1, 0]]
    assert judge.grades(["q"], "hard").tolist() == [[-1, 1, -1, 0]]


def test_grades_beyond_easy_are_refused_where_difficulty_is_measured():
    with pytest.raises(LookalikeError, match=r"2 for easy, 1 for hard.*Received: 3"):
        Judged({"q": {"a": 3}}, ITEMS, 4, difficulty=True)


def test_the_same_value_is_relevant_and_no_value_is_like_no_other():
    column = pa.chunked_array([["x", None], ["y", "x", ""]], pa.string())
    labels = make_labels("class", column, {"q1": "x", "q2": None, "q3": "z"}.get)
    judge = SameValue(labels)
    assert judge.grades(["q1", "q3"], "all").tolist() == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    assert judge.grades(["q1"], "all").dtype == np.int8
    assert [judge.why_not(q) for q in ("q1", "q2", "other")] == [None, "it has no class", "it has no class"]
    assert labels.counts() == {"x": 2, "y": 1}
    assert [labels.of_item(i) for i in range(5)] == ["x", None, "y", "x", None]
