"""What the commands of every day hand on of the command line and of the job file, and how they end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import lookalike
from lookalike.cli import jobs
from lookalike.cli.options import IN_PART
from lookalike.index.conditions import Conditions
from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.nightly import run
from lookalike.query import job as query_job
from lookalike.query.job import QueryOptions
from lookalike.query.report import QuerySummary
from tests.conftest import Job

OF_JOB = {
    "k": 3,
    "exact": True,
    "exclude_self": True,
    "min_probability": 0.4,
    "where": "price > 1",
    "min_score": 0.5,
    "group_by": "brand",
    "per_group": 2,
    "diversify": 0.25,
    "combine": "mean",
}
SAID = {
    "k": 7,
    "exact": False,
    "exclude_self": False,
    "min_probability": 0.2,
    "where": "price < 9",
    "min_score": 0.0,
    "group_by": "maker",
    "per_group": 1,
    "diversify": 1.0,
    "combine": "best",
}
FLAGS = {"k": "-k", "exact": "--no-exact", "exclude_self": "--keep-self"}


@pytest.fixture
def bare(tmp_path) -> Job:
    """A job file of which nothing is there but its settings of queries."""
    return Job(tmp_path, tmp_path / "encoder").set(query=OF_JOB)


@pytest.fixture
def asked(monkeypatch) -> dict[str, Any]:
    """What the query job was asked last; its answer to one query is `answer`."""
    found: dict[str, Any] = {"answer": {"answered": 1, "failed": 0, "reasons": {}}}

    def query(_: Any, path: str, out: str, options: QueryOptions, flags: Any = ()) -> QuerySummary:
        found.update(path=path, out=out, options=options, flags=[*flags])
        rest = {"matches": 1, "results": "r", "failures": "f", "seconds": {}}
        return QuerySummary("g", PostProcessing(), **found["answer"], **rest)

    monkeypatch.setattr(query_job, "query", query)
    return found


def options_of(said: dict[str, Any]) -> QueryOptions:
    """What is asked for where this is said; the job tells the rest, some of it to the query job itself."""
    told = OF_JOB | said
    names = ("where", "min_score", "group_by", "per_group", "diversify")
    return QueryOptions(
        told["k"],
        exact=told["exact"],
        exclude_self=told["exclude_self"],
        conditions=Conditions(**{name: told[name] for name in names}),
        combine=said.get("combine"),
        min_probability=said.get("min_probability"),
    )


@pytest.mark.parametrize("name", [None, *SAID])
def test_what_is_said_of_a_query_counts_and_what_is_not_is_as_the_job_says(bare, asked, name):
    said = {name: SAID[name]} if name else {}
    flags = [FLAGS.get(key, f"--{key.replace('_', '-')}") for key in said]
    values = [value for value in said.values() if not isinstance(value, bool)]
    done = bare.run("query", "q.csv", "-o", "out", *flags, *values, "--", "--runner=x")
    assert done.code == 0, done
    assert asked["options"] == options_of(said)
    assert (asked["path"], asked["out"], asked["flags"]) == ("q.csv", "out", ["--runner=x"])
    opened = lookalike.open_job(bare.config)
    opened.query(Path("q.csv"), "out", flags=["--runner=x"], **said)
    assert asked["options"] == options_of(said)
    assert (asked["path"], asked["out"], asked["flags"]) == ("q.csv", "out", ["--runner=x"])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"answered": 1, "failed": 2, "reasons": {"read": 2}}, 0),
        ({"answered": 0, "failed": 2, "reasons": {"read": 1, "match": 1}}, 0),
        ({"answered": 0, "failed": 2, "reasons": {"read": 2}}, IN_PART),
    ],
)
def test_the_exit_code_tells_that_no_query_could_be_asked(bare, asked, answer, code):
    asked["answer"] = answer
    assert bare.run("query", "q.csv", "-o", "out").code == code


@pytest.mark.parametrize(
    ("unfinished", "damaged", "ends"),
    [({}, None, False), ({"a": "gone"}, None, True), ({}, "cut short", True)],
)
def test_the_exit_code_tells_of_shards_that_were_read_in_part(unfinished, damaged, ends):
    notes = [SimpleNamespace(damaged=None), SimpleNamespace(damaged=damaged)]
    summary: Any = SimpleNamespace(unfinished=unfinished, plan=SimpleNamespace(notes=notes))
    if not ends:
        jobs._exit_if_in_part(summary)
        return
    with pytest.raises(typer.Exit) as ended:
        jobs._exit_if_in_part(summary)
    assert ended.value.exit_code == IN_PART


@pytest.mark.parametrize(("outcome", "code"), [("answered", 0), ("failed", IN_PART)])
def test_the_exit_code_of_a_night_tells_of_standing_queries_that_failed(bare, monkeypatch, outcome, code):
    embedded = SimpleNamespace(unfinished={}, plan=SimpleNamespace(notes=[]))
    standing = [SimpleNamespace(outcome="answered"), SimpleNamespace(outcome=outcome)]
    night = SimpleNamespace(embedded=embedded, indexed=None, standing=standing, report_path="r")
    monkeypatch.setattr(run, "nightly", lambda *_: night)
    for name in ("_print_embedded", "_print_indexed", "print_standing"):
        monkeypatch.setattr(jobs, name, lambda *_: None)
    assert bare.run("nightly").code == code
