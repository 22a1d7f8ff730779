"""What an evaluation leaves behind: read again, told to people, and nothing of an earlier one beside it."""

import json

import pyarrow.parquet as pq
import pytest

from lookalike.evaluate.measurements import Settings
from lookalike.evaluate.report import (
    DRAWN_BY,
    as_text,
    make_report,
    read_sides,
    refuse_own_output,
    write_report,
)
from lookalike.evaluate.summary import ClassSizes
from lookalike.model.encoder.post_processing import PostProcessing, QueryExpansion
from lookalike.model.errors import LookalikeError
from tests.conftest import picture
from tests.support.evaluations import evaluation, per_query

TABLE = per_query(["a", "b"], ["cat", "dog"], map=[0.5, 1.0])


def made(*evaluations, against=()):
    relevance = ["directory"] * len(evaluations)
    return make_report(evaluations, relevance, Settings(), ClassSizes(), against, resamples=100)


def test_every_row_says_of_which_job_and_set_up_it_is():
    easy, hard = (evaluation(TABLE, {"cat": 12, "dog": 3}, setup=setup) for setup in ("easy", "hard"))
    report, tables = made(easy, hard)
    assert [e["setup"] for e in report["evaluations"]] == ["easy", "hard"]
    assert tables["per_query.parquet"].select(["job", "setup", "query_id"]).to_pylist() == [
        {"job": "job", "setup": setup, "query_id": query} for setup in ("easy", "hard") for query in "ab"
    ]
    assert len(tables["per_class.parquet"]) == 4
    assert len(tables["left_out.parquet"]) == 0


def test_an_evaluation_is_read_again_to_be_compared_with(tmp_path):
    easy, hard = (evaluation(TABLE, setup=setup) for setup in ("easy", "hard"))
    write_report(str(tmp_path), *made(easy, hard))
    sides = read_sides(str(tmp_path))
    assert [(s.job, s.setup, s.queries) for s in sides] == [("job", s, "queries/") for s in ("easy", "hard")]
    assert [s.per_query["map"].to_pylist() for s in sides] == [[0.5, 1.0]] * 2


def test_files_of_an_earlier_evaluation_are_gone_and_others_stay(tmp_path):
    for name in ("hardest-old.png", "precision-recall.png", "mine.png", "evaluation.json"):
        (tmp_path / name).write_bytes(DRAWN_BY)
    for name in ("hardest-cases.png", "calibration-camera.png"):
        (tmp_path / name).write_bytes(picture(1, form=".png"))
    earlier = tmp_path / "earlier" / "precision-recall.png"
    earlier.parent.mkdir()
    earlier.write_bytes(b"of another evaluation")
    write_report(str(tmp_path), *made(evaluation(TABLE)))
    assert earlier.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "calibration-camera.png",
        "evaluation.json",
        "evaluation.txt",
        "hardest-cases.png",
        "left_out.parquet",
        "mine.png",
        "per_class.parquet",
        "per_query.parquet",
    ]
    assert json.loads((tmp_path / "evaluation.json").read_text())["settings"]["k"] == [1, 5, 10]
    assert pq.read_table(tmp_path / "per_query.parquet").num_rows == 2


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"evaluations": [{}]}', '{"evaluations": 3}'])
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    write_report(str(tmp_path), *made(evaluation(TABLE)))
    path = tmp_path / "evaluation.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(LookalikeError, match=f"Expected an earlier evaluation in {tmp_path}"):
        read_sides(str(tmp_path))


def test_several_jobs_are_nothing_to_compare_with(tmp_path):
    write_report(str(tmp_path), *made(evaluation(TABLE), evaluation(TABLE, name="other")))
    with pytest.raises(LookalikeError, match=r"of one job in .*\. Received: job, other"):
        read_sides(str(tmp_path))


def test_the_text_accounts_for_every_query_and_shows_each_metric():
    found = evaluation(TABLE, {"cat": 12, "dog": 3}, left_out=[("x", "failed")], self_matches=2)
    text = as_text(made(found)[0])
    assert "queries      3 read = 2 measured + 1 failed + 0 unjudged + 0 lone" in text
    assert (
        "classes      2 in the corpus; with queries: head (more than 100 items) 0, middle (20 to 100) 0, tail (fewer) 2"
        in text
    )
    assert "note         2 queries have their own item in the corpus; it is taken out" in text
    (row,) = (line for line in text.splitlines() if line.split()[:1] == ["map"])
    assert row.split() == ["map", "0.7500", "0.5000", "to", "1.0000", "0.7500", "0.7500"]
    assert "steps" not in text


def test_steps_are_named_and_no_query_is_told():
    found = evaluation(
        per_query([], map=[]), curve=None, steps=PostProcessing(query_expansion=QueryExpansion(k=5, alpha=3))
    )
    text = as_text(made(found)[0])
    assert "steps        query expansion 5,3" in text
    assert "no query could be measured: left_out.parquet tells of each why" in text


def test_a_comparison_shows_the_difference_and_what_makes_it_doubtful():
    more = TABLE.set_column(2, "relevant", [[9, 2]])
    text = as_text(made(evaluation(TABLE), evaluation(more, name="other"))[0])
    assert "difference   other - job: 2 queries in pairs" in text
    assert "the number of relevant items of 1 queries differs (2.0 and 5.5 in the mean)" in text
    assert "+0.0000" in text


def test_the_text_opens_with_what_matters_and_names_the_job_where_there_are_several():
    table = per_query(
        ["a", "b"], ["cat", "dog"], map=[0.5, 1.0], **{"hit_rate@1": [0.0, 1.0], "hit_rate@10": [1.0, 1.0]}
    )
    one, two = evaluation(table), evaluation(table, name="other")
    opening = as_text(made(one)[0]).split("\n\n")[0]
    assert " ".join(opening.split()).startswith(
        "Of 100 queries 50 (0 to 100) find a right match at rank 1, 100 "
    )
    assert all(len(line) <= 80 for line in opening.splitlines())
    text = as_text(made(one, two)[0])
    assert text.startswith("job: Of 100 queries")
    assert "\nother: Of 100 queries" in text


@pytest.mark.parametrize(
    "name", ["evaluation.json", "evaluation.txt", "per_query.parquet", "left_out.parquet"]
)
def test_what_is_measured_may_not_be_among_what_is_written(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "others").mkdir()
    refuse_own_output(str(tmp_path), [str(tmp_path / "others")], [str(tmp_path), "directory"])
    for queries, judgements in (
        ([str(tmp_path / "link" / name)], []),
        ([str(tmp_path / "link")], []),
        ([], ["directory", str(tmp_path / "link" / name)]),
    ):
        with pytest.raises(LookalikeError, match=f"name another --out. Received: .*{name}"):
            refuse_own_output(str(tmp_path), queries, judgements)
