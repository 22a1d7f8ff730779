"""The run report: every number in JSON, in text and as OpenMetrics, however a run ends."""

import json
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from lookalike.index import job as index_job
from lookalike.index.gates import EXIT_CODES
from lookalike.index.health import Health, Hub, Nearest
from lookalike.model.errors import GateError, LookalikeError
from lookalike.nightly import report as nightly_report
from lookalike.nightly.pictures import Flawed, Pictures
from lookalike.nightly.report import RunReport
from lookalike.standing.report import StandingSummary

AH, EXACT = (
    {"algorithm": name, "settings": [{"k": 10, "leaves_to_search": 0, "pre_reorder": depth, "target": 0.99}]}
    for name, depth in (("ah", 40), ("brute_force", 0))
)


def metrics(report: RunReport, store: str = "/srv/store") -> dict[tuple[str, str], float]:
    """Name without `lookalike_`, and the label beside `store` -> value."""
    families = text_string_to_metric_families(nightly_report.as_openmetrics(report, store).decode())
    samples = [sample for family in families for sample in family.samples]
    assert {sample.labels.pop("store") for sample in samples} == {store}
    return {(s.name.removeprefix("lookalike_"), *s.labels.values()): s.value for s in samples}


@pytest.fixture
def report() -> RunReport:
    """Of a run that published."""
    return RunReport(
        started="2026-01-01T01:00:00+00:00",
        finished="2026-01-01T02:00:00+00:00",
        last_success="2026-01-01T02:00:00+00:00",
        outcome="published",
        generation="new",
        previous="old",
        records={"read": 1002, "embedded": 1000, "rejected": 2, "items": 1000},
        rejects={"decode": 2},
        shards={"read": 1, "unchanged": 9},
        indexes={"built": 1, "grown": 2, "unchanged": 3},
        index_vectors={"added": 20, "hidden": 1_000},
        seconds={"embed": 4.0},
        images_per_second=250.0,
        bytes_read=30_000_000,
        peak_memory_bytes=700 << 20,
        recall=0.9931,
        recalls={"disturbed": 0.9931, "members": 0.9999},
        searched_exactly=1,
        settings={"indexes/a": AH, "indexes/b": AH, "indexes/c": EXACT},
        drift=0.9,
        pictures=Pictures(200, {"dark": Flawed(3, ("d",))}),
        health=Health(
            200, 10, (0.1, 0.5, 0.9), (Nearest("a", "b", 0.1),), (Nearest("c", "d", 1),), (Hub("h", 99),), 1
        ),
        standing={
            "new": StandingSummary(
                "new",
                "answered",
                "standing/new/x",
                {"answered": 8, "failed": 1, "entered": 2, "left": 3, "moved": 4},
            ),
            "gone": StandingSummary("gone", "failed", error="No file"),
        },
    )


def test_the_text_reads_as_facts(report):
    assert nightly_report.as_text(report).splitlines() == [
        "outcome      published",
        "run          2026-01-01T01:00:00+00:00 to 2026-01-01T02:00:00+00:00; "
        "last success 2026-01-01T02:00:00+00:00",
        "serving      new (before: old)",
        "records      1,002 read, 1,000 embedded, 2 rejected, 1,000 items",
        "rejects      2 at decode",
        "shards       1 read, 9 unchanged",
        "indexes      1 built, 2 grown, 3 unchanged",
        "grown by     20 added, 1,000 hidden vectors since the index shards were built",
        "seconds      embed 4.0",
        "speed        250 images/s, 30.0 MB read, peak memory 700 MiB",
        "recall       0.9931 against exact search, disturbed 0.9931, members 0.9999",
        "EXACT        1 index shards: no cheaper search reaches the recall target",
        "search       ah, k up to 10: 0 leaves, 40 reordered: 2 index shards",
        "search       brute_force, k up to 10: all compared: 1 index shards",
        "drift        90.0% of the top 10 as in the last generation",
        "pictures     of 200 new ones looked at: 3 dark (d)",
        "health       of 200 items asked, the nearest other item has a score of 0.500 at the median, 0.100 and 0.900 "
        "at 5 and 95 %",
        "least alike  a (0.100 to b)",
        "most alike   c (1.000 to d)",
        "HUBS         h (99) are in so many of the 200 answers",
        "standing     new: 9 queries, 1 failed; 2 entered, 3 left, 4 moved",
        "STANDING     gone could not be answered: No file",
    ]


def test_the_metrics_are_openmetrics_with_the_same_numbers(report):
    found = metrics(report)
    assert found["run_outcome", "published"] == 1
    assert found["flawed_pictures", "dark"] == 0.015
    assert (found["nearest_item_score", "0.5"], found[("hubs",)]) == (0.5, 1)
    told = [found[f"standing_{what}", "new"] for what in ("answered", "failed", "entered", "left", "moved")]
    assert told == [8, 1, 2, 3, 4]
    assert [found["standing_unanswered", name] for name in ("new", "gone")] == [0, 1]
    assert found["run_outcome", "failed"] == 0
    assert found["run_finished_timestamp_seconds",] == 1767232800
    assert found["run_records", "rejected"] == 2
    assert found["run_indexes", "unchanged"] == 3
    assert found["index_vectors", "hidden"] == 1_000
    assert found["recall",] > found["recall_target",] == 0.99
    assert found["recall_by_kind", "disturbed"] == 0.9931
    assert found["exact_index_shards",] == 1
    assert found["run_peak_memory_bytes",] == 700 << 20
    assert not any(value for (name, *_), value in found.items() if name == "gate_failed")


def test_two_stores_on_one_machine_have_two_sets_of_metrics(report, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert f'store="{tmp_path}/store"'.encode() in nightly_report.as_openmetrics(report, "store")
    assert b'store="s3://bucket/store"' in nightly_report.as_openmetrics(report, "s3://bucket/store")


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (LookalikeError("no such key"), "failed", "no such key"),
        (OSError(28, "No space left on device", "store/x"), "failed", "No space left on device: store/x"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
)
def test_a_failure_is_told_with_its_reason(report, error, outcome, message):
    nightly_report.note_failure(report, error)
    assert f"outcome      {outcome}: {message}" in nightly_report.as_text(report)
    assert metrics(report)["run_outcome", outcome] == 1


def test_failed_gates_are_named_in_text_and_metrics(report):
    nightly_report.note_failure(
        report, GateError("two things", ("counts", "min_recall"), EXIT_CODES["counts"])
    )
    assert "gates        counts, min_recall" in nightly_report.as_text(report)
    failed = {
        labels[0] for (name, *labels), value in metrics(report).items() if name == "gate_failed" and value
    }
    assert failed == {"counts", "min_recall"}


def test_a_failed_run_remembers_the_last_success(copied, monkeypatch):
    latest = copied.store / "reports" / "latest.json"
    copied.nightly()
    succeeded = json.loads(latest.read_text())["finished"]
    monkeypatch.setattr(nightly_report, "now", lambda: "2099-01-01T00:00:00+00:00")
    for _ in range(2):
        assert (
            copied.run("nightly", "--set", "gates.max_reject_fraction=0", "--set", "metric=cosin").code == 2
        )
        assert copied.run("nightly", "--set", "corpus.shards=/nothing").code == 2
        report = json.loads(latest.read_text())
        assert (report["outcome"], report["last_success"]) == ("failed", succeeded)


def test_an_interrupted_run_leaves_a_report(copied, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_job, "index", interrupted)
    assert copied.run("nightly").code == 130
    report = json.loads((copied.store / "reports" / "latest.json").read_text())
    assert (report["outcome"], report["records"]["read"]) == ("interrupted", 24)


def test_a_damaged_last_report_is_no_reason_to_fail(tmp_path, report):
    report.outcome = "failed"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "latest.json").write_text("{")
    nightly_report.write_report(str(tmp_path), report)
    assert report.last_success is None


def test_peak_memory_is_the_runs_own_and_not_of_who_started_it():
    started_it = bytearray(300 << 20)
    code = "from lookalike.nightly.report import _peak_memory; print(_peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 20 < int(done.stdout) < len(started_it)
