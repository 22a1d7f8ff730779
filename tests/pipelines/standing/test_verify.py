"""Verifying finds every change to what is kept of standing queries."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.standing import state
from lookalike.standing.state import Answers, answers_name, make_latest
from lookalike.standing.verify import damage
from tests.conftest import run
from tests.support.small_stores import flip


@pytest.fixture
def store(tmp_path) -> str:
    """Two standing queries, one of them answered twice, the other never."""
    store = str(tmp_path)
    (tmp_path / "standing/new").mkdir(parents=True)
    before = None
    for number in (1, 2):
        made_from = {"generation": f"g{number}"}
        folder = answers_name(f"g{number}", made_from, before)
        place = tmp_path / "standing/wanted" / folder
        place.mkdir(parents=True)
        for name, rows in ((state.RESULTS, 3), (state.FAILURES, 1), (state.CHANGES, 2)):
            pq.write_table(pa.table({"query_id": ["q"] * rows}), place / name)
        counts = {"answered": 1, "failed": 1, "matches": 3, "entered": 2, "left": 0, "moved": 0}
        tables = state.tables_of(store, "wanted", folder)
        answers = Answers(1, folder, f"g{number}", "e", before, made_from, counts, tables)
        state.write_answers(store, "wanted", answers)
        latest = state.read_latest(store, "wanted") if before else None
        make_latest(store, "wanted", answers, latest[0] if latest else None, 5)
        before = folder
    return store


def test_what_is_whole_has_no_problems(store, tmp_path):
    assert damage(store) == []
    assert damage(str(tmp_path / "nothing")) == []


def test_a_flipped_byte_in_any_table_or_pointer_is_found_and_its_file_named(store, tmp_path):
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(paths) == 9
    for path in paths:
        if path.name == state.MANIFEST and path.parent.name.startswith("g1"):
            continue  # no digest is kept of it
        for at in (0, path.stat().st_size // 2, path.stat().st_size - 2):
            before = flip(path, at)
            # What `latest.json` says of a manifest may be wrong, or the manifest: that is what is named.
            named = path.name if path.name != state.LATEST else "wanted"
            assert any(named in problem for problem in damage(store)), (path, at)
            path.write_bytes(before)


def test_every_missing_file_and_every_count_that_does_not_add_up_is_found(store, tmp_path):
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        if path.name == state.LATEST:
            continue  # without it nothing was answered yet
        before = path.read_bytes()
        path.unlink()
        assert any(path.name in problem for problem in damage(store)), path
        path.write_bytes(before)
    first = min(path for path in (tmp_path / "standing/wanted").iterdir() if path.is_dir())
    manifest = first / state.MANIFEST
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"counts": told["counts"] | {"matches": 4}}))
    assert damage(store) == [f"{first / state.RESULTS}: expected 4 rows. Received: 3"]
    manifest.write_text(json.dumps(told | {"made_from": {"generation": "g9"}}))
    assert [one.split(":")[0] for one in damage(store)] == [f"{manifest} is damaged"]


def test_answers_that_do_not_follow_each_other_are_found(store, tmp_path):
    path = tmp_path / "standing/wanted/latest.json"
    latest = json.loads(path.read_text())
    path.write_text(json.dumps(latest | {"kept": latest["kept"][::-1]}))
    assert damage(store) == [
        f"{path}: expected {latest['answers']} as the last that is kept. Received: {', '.join(latest['kept'][::-1])}"
    ]


def test_the_command_tells_of_them(store, copied):
    shutil.copytree(f"{store}/standing", copied.store / "standing", dirs_exist_ok=True)
    assert copied.loaded  # writes the job file
    (table,) = list(copied.store.glob("standing/wanted/g2-*/results.parquet"))
    flip(table, 9)
    done = run("generations", "verify", "--config", copied.config)
    assert (done.code, "results.parquet is damaged" in done.out) == (3, True)
    assert run("generations", "verify", "--config", copied.config, copied.generation["name"]).code == 0
