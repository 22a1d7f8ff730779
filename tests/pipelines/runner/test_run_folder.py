"""The folder of a run: beside the tables, gone in the end, and those of dead runs after a day."""

from __future__ import annotations

import os
import time

from lookalike.runner.run_folder import run_folder
from tests.support.small_stores import Bucket


def test_it_is_gone_in_the_end_and_that_of_a_dead_run_after_a_day(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    dead, other, of_another = (tmp_path / "out" / name for name in (".x-dead", ".x-other", ".y-dead"))
    before = time.time() - 90_000
    for folder in (dead, other, of_another):
        folder.mkdir(parents=True)
    for folder in (dead, of_another):
        os.utime(folder, (before, before))
    with run_folder("out", "x", ()) as folder:
        assert os.path.dirname(folder) == str(tmp_path / "out")
        assert sorted(os.listdir("out")) == [".x-other", ".y-dead"]
        os.mkdir(folder)
    assert sorted(os.listdir("out")) == [".x-other", ".y-dead"]


def test_one_that_is_old_but_was_written_to_stays(tmp_path) -> None:
    alive = tmp_path / ".x-alive"
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
