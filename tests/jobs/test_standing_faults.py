"""Standing queries whose run is killed, or fails, at any write: the next run leaves the same files, once.

Every `STEP`-th operation is tried; all of them by

    LOOKALIKE_KILL_EVERY=1 .venv/bin/python -m pytest -m slow tests/jobs/test_standing_faults.py
"""

from __future__ import annotations

import json
import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lookalike.standing.changes import apply_changes
from tests.conftest import Job, picture
from tests.support.fault_points import FaultPoints, disk_full, watched
from tests.support.forks import Forks
from tests.support.standing import Answered

NAME = "new"
STEP = int(os.environ.get("LOOKALIKE_KILL_EVERY", "6"))


@pytest.fixture(scope="module")
def evening(tmp_path_factory, encoder, pictures) -> Job:
    """A store that has answered a standing query once, and then published something else. Not to be changed."""
    job = Job(tmp_path_factory.mktemp("evening"), encoder)
    job.pack(pictures)
    ids = job.folder / "ids.txt"
    ids.write_text("".join(f"{name}\n" for name in [*pictures][:7]) + "nobody\n")
    job.set(standing=[{"name": NAME, "queries": str(ids), "k": 5}], retention={"generations": 1})
    job.nightly()
    job.pack({**pictures, "p02.jpg": picture(902), "p99.jpg": picture(1)})
    job.nightly("--set", "standing=[]")
    return job


def tree(store: Path) -> dict[str, bytes]:
    root = store / "standing" / NAME
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def copy(job: Job, place: Path) -> Path:
    store = place / "store"
    shutil.rmtree(store, ignore_errors=True)
    return Path(shutil.copytree(job.store, store))


@pytest.fixture
def again(evening, tmp_path) -> Job:
    """A copy of it."""
    job = Job(tmp_path, Path(evening.settings["encoder"])).set(**evening.settings)
    copy(evening, tmp_path)
    job.set(store=str(tmp_path / "store"))
    return job


WRITES = {
    "the results": ("open", "standing/*/.results.parquet.tmp-*"),
    "the failures": ("open", "standing/*/.failures.parquet.tmp-*"),
    "the changes": ("open", "standing/*/.changes.parquet.tmp-*"),
    "the manifest": ("open", "standing/*/.answers.json.tmp-*"),
    "what names them": ("rename", "standing/*/.latest.json.tmp-*"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_full_disk_is_told_by_name_and_the_next_run_completes(again, what):
    name, pattern = WRITES[what]
    full = FaultPoints(
        again.store, 1, disk_full, lambda operation, path: operation == name and fnmatch(path, pattern)
    )
    before = Answered(again.store, NAME)
    with watched(full):
        done = again.run("standing")
    assert full.seen
    assert done.code == 3
    assert f"STANDING     {NAME} could not be answered: No space left on device" in done.out
    assert Answered(again.store, NAME).latest == before.latest
    assert again.run("standing").code == 0
    now = Answered(again.store, NAME)
    assert apply_changes(before.answers, now.table("changes")).equals(now.answers)
    assert {path.name for path in now.root.iterdir()} == {"latest.json", now.folder.name}


@pytest.mark.slow
def test_killed_before_any_operation_and_run_again_it_leaves_the_same_bytes_once(evening, tmp_path):
    before = Answered(evening.store, NAME)
    store = copy(evening, tmp_path)
    command = {
        "store": str(store),
        "arguments": ["standing", "-c", str(evening.config), "--set", f"store={store}"],
    }
    forks = Forks("tests.support.nights", tmp_path)
    try:
        undisturbed = forks.call("command", tmp_path, **command).value
        assert undisturbed["code"] == 0
        expected = tree(store)
        told = json.loads(expected["latest.json"])["answers"]
        points = [
            n for n, (_, path) in enumerate(undisturbed["operations"], 1) if path.startswith("standing")
        ]
        assert len(points) > 30
        last, points = points[-1], points[::STEP]
        named = False
        for kind, at in [(None, at) for at in [*points, last]] + [("all", at) for at in points[::3]]:
            copy(evening, tmp_path)
            assert forks.call("command", tmp_path, **command, at=at, power_cut=kind).signal == 9
            left = Answered(store, NAME)
            assert left.latest["answers"] in (before.folder.name, told)
            if left.latest["answers"] == told:
                named = True
                assert (
                    tree(store).items() >= {k: v for k, v in expected.items() if k.startswith(told)}.items()
                )
            ended = forks.call("command", tmp_path, **command).value
            assert ended["code"] == 0, ended
            assert tree(store) == expected, (kind, at, undisturbed["operations"][at - 1])
            assert not [p for p in (store / "standing").rglob("*") if p.is_dir() and not any(p.iterdir())]
        assert named
    finally:
        forks.close()
