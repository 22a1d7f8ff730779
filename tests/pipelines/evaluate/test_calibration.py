"""The pairs of an evaluation are the rows of results; what is fitted to them is kept, told, and tried on others."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from lookalike.evaluate import ranking
from lookalike.evaluate.calibration import Pairs
from lookalike.evaluate.job import evaluate
from lookalike.evaluate.measurements import Settings
from lookalike.evaluate.report import as_text, make_report
from lookalike.evaluate.summary import ClassSizes
from lookalike.model.encoder.manifest import CALIBRATION
from lookalike.model.errors import LookalikeError
from lookalike.store.calibrations import keep_calibration
from tests.conftest import ZOO, Job, tune

IDS = [f"{name}/q{i}" for i in range(6) for name in [*ZOO, "fox"]]
"""Six queries of each class, and of one that is not in the corpus."""


@pytest.fixture
def own(zoo, tmp_path) -> Job:
    """The zoo with a store and an encoder of the test's own."""
    job = Job(tmp_path, tmp_path / "encoder")
    shutil.copytree(zoo.settings["encoder"], tmp_path / "encoder")
    shutil.copytree(zoo.store, job.store)
    job.settings["corpus"] = zoo.settings["corpus"]
    return job.set(query={"k": 4})


def pairs_of(job: Job, path: str, *options: str) -> list[tuple[float, bool]]:
    """(score, whether it is of the query's class) of each row that a query job writes, sorted."""
    assert job.query(path, "--exact", *options).code == 0
    rows = job.results.to_pylist()
    return sorted((r["score"], r["query_id"].split("/")[0] == r["item_id"].split("/")[0]) for r in rows)


@pytest.mark.parametrize("steps", [(), ("--query-expansion", "2,1", "--reranking", "6,3,2,0.3")])
def test_the_pairs_are_the_rows_of_results_lone_queries_among_them(own, asked, steps, monkeypatch):
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 7)
    tune(own, *steps)
    path = asked(IDS)
    (found,) = evaluate(own.loaded, path, "directory", Settings(calibrate=True))
    calibrated = found.calibrated
    pairs = sorted(zip(calibrated.near.tolist(), calibrated.relevant.tolist(), strict=True))
    assert len(pairs) == len(IDS) * 4
    assert pairs == pairs_of(own, path)
    made = calibrated.calibration
    assert (made.k, made.queries, made.pairs, made.relevance) == (4, len(IDS), len(pairs), "directory")
    assert made.steps == found.steps


def test_queries_that_are_items_are_asked_without_themselves(own, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(f"cat/{i:02}.jpg" for i in range(9)))
    (found,) = evaluate(own.loaded, str(path), "directory", Settings(calibrate=True))
    near, relevant = found.calibrated.near.tolist(), found.calibrated.relevant.tolist()
    assert sorted(zip(near, relevant, strict=True)) == pairs_of(own, str(path), "--exclude-self")


def test_junk_is_in_no_pair(own, asked, tmp_path):
    qrels = tmp_path / "file.qrels"
    lines = [f"q{i}\t0\tcat/{n:02}.jpg\t{-1 if n < 6 else 1}\n" for i in range(6) for n in range(12)]
    qrels.write_text("".join(lines))
    path = asked([f"q{i}" for i in range(6)])
    own.set(query={"k": 21})
    (found,) = evaluate(own.loaded, path, str(qrels), Settings(calibrate=True))
    assert len(found.calibrated.near) == 6 * (21 - 6)
    assert found.calibrated.relevant.sum() == 6 * 6


def test_one_that_is_there_is_tried_on_other_queries_and_results_agree_with_it(own, asked, tmp_path):
    job, path = own.loaded, asked(IDS)
    (found,) = evaluate(job, path, "directory", Settings(calibrate=True))
    keep_calibration(job.store, job.encoder, found.calibrated.calibration)
    others = asked([f"{name}/r{i}" for i in range(5) for name in ZOO])
    (tried,) = evaluate(job, others, "directory")
    assert tried.calibrated.calibration == found.calibrated.calibration
    assert not tried.calibrated.fitted
    assert own.query(others, "--exact").code == 0
    told = np.sort(own.results["probability"].to_numpy())
    np.testing.assert_allclose(np.sort(tried.calibrated.probability), told, rtol=1e-6)
    report, _ = make_report([tried], ["directory"], Settings(), ClassSizes(), resamples=100)
    assert "expected calibration error, of the calibration that is there;" in as_text(report)
    assert json.loads(json.dumps(report))["evaluations"][0]["calibration"]["pairs"] == len(told)


def test_without_one_nothing_is_told(own, asked):
    (found,) = evaluate(own.loaded, asked(IDS), "directory")
    assert found.calibrated is None


def test_too_few_queries_are_one_sentence(own, asked):
    with pytest.raises(LookalikeError, match=r"Expected at least 5 queries .* Received: 4"):
        evaluate(own.loaded, asked(IDS[:4]), "directory", Settings(calibrate=True))


def test_no_pairs_are_no_error():
    near, relevant, query = Pairs(3).arrays()
    assert len(near) == len(relevant) == len(query) == 0


def test_the_command_keeps_it_and_a_second_run_makes_the_same_bytes(own, asked, tmp_path):
    path, out = asked(IDS), tmp_path / "report"
    common = (
        "--queries",
        path,
        "--relevance",
        "directory",
        "--resamples",
        100,
        "--calibrate",
        "--no-plots",
        "-o",
        out,
    )
    made = []
    for _ in range(2):
        done = own.run("evaluate", *common)
        assert done.code == 0, done
        kept = tmp_path / "encoder" / CALIBRATION
        made.append([file.read_bytes() for file in (kept, out / "evaluation.json")])
        assert f"calibration  {kept}" in done.out
    assert made[0] == made[1]
    assert "expected calibration error, cross-validated over queries;" in done.out
    assert "methods      log loss isotonic " in done.out
    kept.write_text("damaged")
    assert own.run("evaluate", *common).code == 0
    assert kept.read_bytes() == made[0][0]
    refused = own.run("evaluate", *common, "--config", own.config)
    assert refused.sentence.endswith("Received: 2 jobs")
    assert own.run("evaluate", *common, "--difficulty").sentence.endswith("Received: --difficulty")
