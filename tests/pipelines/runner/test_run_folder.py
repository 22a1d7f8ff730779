"""The folder of a run: beside the tables, gone in the end, and those of dead runs after a day."""

from __future__ import annotations

import os
import time

from lookalike.runner.run_folder import run_folder
from tests.support.small_stores import Bucket


def test_it_is_gone_in_the_end_and_that_of_a_dead_run_after_a_day(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = (f".x-{0:032}", f".x-{1:032}", f".y-{0:032}", ".x-mine")
    dead, other, of_another, mine = (tmp_path / "out" / name for name in names)
    before = time.time() - 90_000
    for folder in (dead, other, of_another, mine):
        folder.mkdir(parents=True)
    (tmp_path / "out" / ".x-notes").write_text("mine")
    for folder in (dead, of_another, mine, tmp_path / "out" / ".x-notes"):
        os.utime(folder, (before, before))
    left = sorted([*names[1:], ".x-notes"])
    with run_folder("out", "x", ()) as folder:
        assert os.path.dirname(folder) == str(tmp_path / "out")
        assert sorted(os.listdir("out")) == left
        os.mkdir(folder)
    assert sorted(os.listdir("out")) == left


def test_one_that_is_old_but_was_written_to_stays(tmp_path) -> None:
    alive = tmp_path / f".x-{0:032}"
    alive.mkdir()
    (alive / "part").write_text("new")
    before = time.time() - 90_000
    os.utime(alive, (before, before))
    with run_folder(str(tmp_path), "x", ()):
        assert alive.exists()


def test_behind_a_url_it_is_on_this_machine_unless_workers_must_see_it(monkeypatch) -> None:
    Bucket(monkeypatch)
    with run_folder("mem://bucket/out", "x", ()) as folder:
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)
    with run_folder("mem://bucket/out", "x", ("--runner=DirectRunner",)) as folder:
        assert folder.startswith("mem://bucket/out/.x-")
