"""The command that answers standing queries without a night."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def asked(copied):
    (copied.folder / "ids.txt").write_text("p00.jpg\np01.jpg\nnobody\n")
    return copied.set(
        standing=[{"name": name, "queries": str(copied.folder / "ids.txt")} for name in ("first", "second")]
    )


def test_each_is_told_and_a_second_time_unchanged(asked):
    done = asked.run("standing")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"standing     {name}: 3 queries, 1 failed; 20 entered, 0 left, 0 moved"
        for name in ("first", "second")
    ]
    again = asked.run("standing", "--name", "second", "--json")
    (told,) = json.loads(again.out)
    assert (told["name"], told["outcome"], told["counts"]["entered"]) == ("second", "unchanged", 0)
    assert (asked.store / told["answers"] / "results.parquet").exists()


def test_one_that_fails_is_named_and_the_others_are_answered(asked):
    asked.settings["standing"][0]["queries"] = str(asked.folder / "gone.txt")
    done = asked.run("standing")
    assert done.code == 3
    lines = done.out.splitlines()
    assert lines[0].startswith("STANDING     first could not be answered: ")
    assert "gone.txt" in lines[0]
    assert lines[1].startswith("standing     second: 3 queries")


@pytest.mark.parametrize(
    ("name", "said"), [("secnd", "Received: secnd; did you mean second?"), ("x", "Received: x")]
)
def test_a_name_that_is_not_there_is_told(asked, name, said):
    done = asked.run("standing", "--name", name)
    assert done.code == 2
    assert done.sentence.startswith("Expected a standing query of ")
    assert done.sentence.endswith(said)


def test_a_job_without_any_is_told(copied):
    assert copied.run("standing").sentence.endswith("Received: no key `standing`")


def test_where_nothing_is_published_that_is_told_and_no_store_is_made(asked):
    asked.set(store=str(asked.folder / "elsewhere"))
    assert "Nothing has been published in the store" in asked.run("standing").sentence
    assert not (asked.folder / "elsewhere").exists()
