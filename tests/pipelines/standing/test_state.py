"""What a store keeps of a standing query."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.standing import state
from lookalike.standing.state import Answers, answers_name, make_latest, read_answers, read_latest
from tests.support.small_stores import Bucket


@pytest.fixture(params=["local", "remote"])
def store(request, tmp_path, monkeypatch) -> str:
    """An empty store."""
    if request.param == "local":
        return str(tmp_path / "store")
    Bucket(monkeypatch)
    return "mem://b/store"


def put(store: str, number: int, previous: str | None = None) -> Answers:
    """Answers with three tables of a byte."""
    folder = answers_name(f"2026010{number}T020000Z-g", {"queries": "q"}, previous)
    for table in ("results.parquet", "failures.parquet", "changes.parquet"):
        files.write_bytes(state.standing_folder(store, "s", folder, table), b"%d" % number)
    answers = Answers(
        format=1,
        name=folder,
        generation=f"2026010{number}T020000Z-g",
        encoder="e",
        previous=previous,
        made_from={"queries": "q"},
        counts={"answered": number},
        files=state.tables_of(store, "s", folder),
    )
    state.write_answers(store, "s", answers)
    return answers


def listed(store: str) -> set[str]:
    return files.entries(state.standing_folder(store, "s"))


def test_the_last_answers_are_those_that_were_named_last(store):
    assert read_latest(store, "s") is None
    answers = put(store, 1)
    assert read_latest(store, "s") is None
    make_latest(store, "s", answers, None, 7)
    latest, found = read_latest(store, "s")
    assert (found, list(latest.kept)) == (answers, [answers.name])


def test_the_last_few_are_kept(store):
    latest, made = None, []
    for number in range(4):
        made.append(put(store, number, made[-1].name if made else None))
        make_latest(store, "s", made[-1], latest, 2)
        latest, _ = read_latest(store, "s")
    assert listed(store) == {"latest.json", made[2].name, made[3].name}


def test_answers_that_were_never_named_go_with_the_next(store):
    first, second = put(store, 1), put(store, 2)
    make_latest(store, "s", first, None, 7)
    assert listed(store) == {"latest.json", first.name}
    assert read_answers(store, "s", second.name) is None


def test_a_generation_that_answers_again_has_another_folder():
    names = {answers_name("g1", {"queries": "q"}, previous) for previous in (None, "g1-0", "g2-0")}
    assert len(names) == 3
    assert answers_name("g1", {"queries": "other"}, None) not in names


@pytest.mark.parametrize("table", ["results.parquet", "changes.parquet", "answers.json"])
def test_answers_of_which_a_file_is_missing_do_not_count(store, table):
    answers = put(store, 1)
    assert read_answers(store, "s", answers.name) == answers
    make_latest(store, "s", answers, None, 7)
    files.delete([state.standing_folder(store, "s", answers.name, table)])
    assert read_answers(store, "s", answers.name) is None
    with pytest.raises(LookalikeError, match=answers.name):
        read_latest(store, "s")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"answers": "x"}'])
def test_a_damaged_file_is_named(store, data):
    answers = put(store, 1)
    make_latest(store, "s", answers, None, 7)
    path = state.standing_folder(store, "s", answers.name, "answers.json")
    files.write_bytes(path, data)
    assert read_answers(store, "s", answers.name) is None
    with pytest.raises(LookalikeError, match=r"answers\.json"):
        read_latest(store, "s")
    files.write_bytes(state.standing_folder(store, "s", "latest.json"), data)
    with pytest.raises(LookalikeError, match=r"latest\.json is damaged"):
        read_latest(store, "s")


def test_what_replaces_answers_is_named_before_they_are_deleted(store, monkeypatch):
    first = put(store, 1)
    make_latest(store, "s", first, None, 7)
    latest, _ = read_latest(store, "s")
    second = put(store, 2)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "delete_others", killed)
    with pytest.raises(KeyboardInterrupt):
        make_latest(store, "s", second, latest, 1)
    assert read_latest(store, "s")[1] == second
    assert {first.name, second.name} <= listed(store)


def test_a_table_that_was_cut_does_not_count(store):
    answers = put(store, 12)
    make_latest(store, "s", answers, None, 7)
    files.write_bytes(state.standing_folder(store, "s", answers.name, "results.parquet"), b"1")
    assert read_answers(store, "s", answers.name) is None
    with pytest.raises(LookalikeError, match="Expected the tables"):
        read_latest(store, "s")


def test_a_manifest_that_is_another_than_was_named_is_not_believed(store):
    answers = put(store, 1)
    make_latest(store, "s", answers, None, 7)
    state.write_answers(store, "s", replace(answers, counts={"answered": 9}))
    with pytest.raises(LookalikeError, match=r"answers\.json should have SHA-256"):
        read_latest(store, "s")


def test_what_a_dead_run_left_beside_the_tables_is_deleted(store):
    answers = put(store, 1)
    for left in (".query-1/work/0", ".unfinished"):
        files.write_bytes(state.standing_folder(store, "s", answers.name, left), b"")
    state.write_answers(store, "s", answers)
    kept = {os.path.basename(f.path) for f in files.list_files(state.standing_folder(store, "s"))}
    assert kept == {"results.parquet", "failures.parquet", "changes.parquet", "answers.json"}


def test_a_manifest_is_json_without_the_time(store):
    answers = put(store, 1)
    data = files.read_bytes(state.standing_folder(store, "s", answers.name, "answers.json"))
    assert json.loads(data)["generation"] == "20260101T020000Z-g"
    state.write_answers(store, "s", replace(answers))
    assert files.read_bytes(state.standing_folder(store, "s", answers.name, "answers.json")) == data
