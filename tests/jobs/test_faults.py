"""Whatever fails in a night is told in one sentence, leaves what is served as it was, and the next run mends it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from lookalike.filesystem import files
from lookalike.index import job as index_job
from lookalike.nightly import report as nightly_report
from lookalike.runner import progress
from lookalike.store import exclusions, holder
from lookalike.store.generations import names, show
from lookalike.store.verify import verify
from tests.conftest import Job, picture, run
from tests.support.fault_points import FaultPoints, disk_full, no_permission, unreadable, watched

FORMATS = ("tfrecord", "webdataset", "parquet", "folder")


@dataclass(frozen=True)
class Night:
    """A store that served one night, the corpus of the next, and what will be served then.

    Attributes:
        job: its corpus has changed since the store was published. The store may be changed.
        expected: answers after an undisturbed run.
    """

    job: Job
    expected: Any

    @property
    def current(self) -> bytes:
        return (self.job.store / "CURRENT").read_bytes()

    @property
    def unfinished(self) -> list[str]:
        return [path.name for path in self.job.store.rglob("*") if ".tmp-" in path.name]

    def answers(self) -> Any:
        ids = self.job.folder / "ids.txt"
        assert run("query", ids, "-c", self.job.config, "-o", self.job.folder / "out", "-k", 99).code == 0
        return self.job.results.replace_schema_metadata()

    def completes(self) -> None:
        """The next run does all that is left to do."""
        self.job.nightly()
        assert self.answers().equals(self.expected)
        assert verify(str(self.job.store)) == []
        assert not self.unfinished

    def fails(self, points: FaultPoints | None = None) -> str:
        """A run that publishes nothing, for what happens at `points`. Gives its sentence."""
        before = self.current
        with watched(points) if points else contextlib.nullcontext():
            done = self.job.run("nightly")
        assert done.code == 2, done
        assert self.current == before
        assert not self.unfinished
        return done.sentence


@pytest.fixture(scope="module")
def _evening(tmp_path_factory, encoder, pictures) -> Night:
    job = Job(tmp_path_factory.mktemp("evening"), encoder)
    job.pack(pictures)
    job.nightly()
    job.pack({**pictures, "p02.jpg": picture(902), "p09.jpg": picture(909)})
    (job.folder / "ids.txt").write_text("\n".join(pictures))
    shutil.copytree(job.store, job.folder / "before")
    job.nightly()
    return Night(job, Night(job, None).answers())


@pytest.fixture
def night(_evening, tmp_path) -> Night:
    shutil.copytree(_evening.job.folder / "before", tmp_path / "store")
    shutil.copy(_evening.job.folder / "ids.txt", tmp_path)
    job = Job(tmp_path, Path(_evening.job.settings["encoder"]))
    job.set(corpus=_evening.job.settings["corpus"])
    job.config.write_text(yaml.safe_dump(job.settings))
    return Night(job, _evening.expected)


def first(store: Path, name: str, pattern: str, fault: Callable[[str, str], Any]) -> FaultPoints:
    """The fault happens at the first operation of this name on a path like the pattern."""
    return FaultPoints(store, 1, fault, lambda operation, path: operation == name and fnmatch(path, pattern))


WRITES = {
    "the lock": ("pwrite", "LOCK"),
    "an embedding file": ("open", "embeddings/*/.*.tfrecord.tmp-*"),
    "the end of an embedding file": ("fsync", "embeddings/*/.*.tfrecord.tmp-*"),
    "rejects": ("open", "embeddings/*/rejects/*.parquet.tmp-*"),
    "a note": ("open", "embeddings/*/*.json.tmp-*"),
    "an index file": ("open", "indexes/.*.tmp-*/dataset.npy"),
    "an index's manifest": ("open", "indexes/.*.tmp-*/manifest.json"),
    "an index's place": ("rename", "indexes/.*.tmp-*"),
    "duplicates": ("open", "generations/*/.duplicates.parquet.tmp-*"),
    "a manifest": ("open", "generations/*/.manifest.json.tmp-*"),
    "CURRENT": ("open", ".CURRENT.tmp-*"),
    "CURRENT's place": ("rename", ".CURRENT.tmp-*"),
}


QUICK = ("an embedding file", "an index's place", "CURRENT")
"""What is tried in any case; the rest is slow together."""


@pytest.mark.parametrize(
    "what", [what if what in QUICK else pytest.param(what, marks=pytest.mark.slow) for what in WRITES]
)
def test_a_full_disk_is_told_and_the_next_run_completes(night, what):
    points = first(night.job.store, *WRITES[what], disk_full)
    assert "No space left on device" in night.fails(points)
    assert points.seen
    night.completes()


@pytest.mark.parametrize("what", ["the lock", "an embedding file", "an index's place", "CURRENT"])
def test_a_missing_permission_is_told_and_the_next_run_completes(night, what):
    points = first(night.job.store, *WRITES[what], no_permission)
    assert "Permission denied" in night.fails(points)
    night.completes()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("open", "CURRENT"),
        ("open", "generations/*/manifest.json"),
        ("open", "embeddings/*/*.json"),
        ("open", "embeddings/*/*.parquet"),
    ],
)
def test_a_store_that_cannot_be_read_is_told_and_the_next_run_completes(night, name, pattern):
    points = first(night.job.store, name, pattern, unreadable)
    assert "Input/output error" in night.fails(points)
    night.completes()


def test_progress_that_cannot_be_noted_stops_nothing(night):
    notes = FaultPoints(
        night.job.store, 0, disk_full, lambda _, path: fnmatch(path, "runs/*/progress/*.tmp-*")
    )
    with watched(notes):
        night.job.nightly()
    assert notes.seen
    night.completes()


def test_progress_that_cannot_be_read_is_not_shown(tmp_path):
    with watched(FaultPoints(tmp_path, 0, unreadable)):
        assert not progress.added_up(str(tmp_path))


def test_folders_that_a_dead_run_left_empty_are_deleted(night):
    left = [night.job.store / "generations" / "20260101T000000Z-0", night.job.store / "indexes" / "0"]
    for folder in left:
        folder.mkdir()
    (left[0] / ".duplicates.parquet.tmp-1").write_bytes(b"half")
    (night.job.store / ".CURRENT.tmp-1").write_bytes(b"half")
    night.completes()
    assert not any(folder.exists() for folder in left)


def test_a_report_that_cannot_be_written_is_a_warning_because_the_night_was_published(night):
    before = night.current
    reports = FaultPoints(night.job.store, 0, disk_full, lambda _, path: path.startswith("reports"))
    with watched(reports):
        done = night.job.nightly()
    assert "its report could not be written: No space left on device" in done.err
    assert night.current != before
    night.completes()


def test_a_failure_is_told_even_if_its_report_cannot_be_written(night):
    def matches(name: str, path: str) -> bool:
        return path.startswith("reports") or fnmatch(path, "indexes/.*.tmp-*/dataset.npy")

    assert "No space left on device" in night.fails(FaultPoints(night.job.store, 0, disk_full, matches))
    night.completes()


def test_a_failed_prune_tells_what_is_served_and_the_next_run_prunes(night):
    before = night.current
    one = ("--set", "retention.generations=1")
    with watched(first(night.job.store, "remove", "generations/*/manifest.json", no_permission)):
        done = night.job.run("nightly", *one)
    assert done.code == 2
    assert night.current != before
    served = night.current.split()[0].decode()
    assert done.sentence.startswith(
        f"{served} is served, but old generations could not be deleted: Permission"
    )
    assert len(names(str(night.job.store))) == 2
    night.job.nightly(*one)
    assert names(str(night.job.store)) == [served]
    night.completes()


def test_a_read_only_store_is_refused_and_still_answers(night, mounted):
    copy = night.job.folder / "copy"
    shutil.move(night.job.store, copy)
    store = mounted("store", 8192)
    shutil.copytree(copy, store, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
    assert "Read-only file system" in night.fails()
    night.answers()
    subprocess.run(["mount", "-o", "remount,rw", str(store)], check=True)
    night.completes()


class BadSector(io.FileIO):
    """A file that cannot be read in its middle."""

    def readinto(self, buffer: Any) -> int | None:
        middle = os.path.getsize(self.name) // 2
        if self.tell() <= middle < self.tell() + len(buffer):
            unreadable("read", self.name)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        unreadable("read", self.name)


def make_corpus(job: Job, form: str, images: dict[str, bytes]) -> str:
    """Gives the path of a file that holds the image p20.jpg."""
    if form != "folder":
        return job.pack(images, form)[-1]
    job.shards.mkdir(exist_ok=True)
    for name, content in images.items():
        (job.shards / name).write_bytes(content)
    return str(job.shards / "p20.jpg")


@pytest.mark.parametrize("form", FORMATS)
def test_a_shard_whose_medium_fails_half_way_is_named_and_read_by_the_next_run(
    job, pictures, monkeypatch, form
):
    """It is not damaged: nothing of it may be rejected, and nothing of it published."""
    make_corpus(job, form, pictures)
    job.nightly()
    bad = make_corpus(job, form, {**pictures, "p20.jpg": picture(920)})
    night = Night(job, None)
    real = files.open_read

    def open_read(path: str) -> Any:
        return io.BufferedReader(BadSector(path), 64) if path == bad else real(path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "open_read", open_read)
        sentence = night.fails()
    assert "Input/output error" in sentence
    assert bad in sentence
    before = night.current
    job.nightly()
    assert night.current != before
    assert verify(str(job.store)) == []
    counts = job.generation["counts"]
    assert (counts["read"], counts["items"], counts["rejected"]) == (24, 24, 0)


class Clock:
    """Sets every clock that tells a date: each look at it moves it by `step`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: datetime, step: timedelta) -> None:
        def now(zone: Any = None) -> datetime:
            self.now += step
            return self.now

        self.now = start
        stopped = type("Stopped", (datetime,), {"now": staticmethod(now)})
        for module in (index_job, nightly_report, holder, exclusions):
            monkeypatch.setattr(module, "datetime", stopped)
        monkeypatch.setattr(time, "time", lambda: now().timestamp())


def test_a_clock_that_was_set_back_changes_no_answer_and_deletes_nothing_young(night, monkeypatch):
    store = str(night.job.store)
    (before,) = names(store)
    with monkeypatch.context() as patched:
        Clock(patched, datetime(2001, 1, 1, tzinfo=timezone.utc), timedelta(seconds=1))
        night.job.nightly("--set", "retention.generations=1", "--set", "retention.days=1")
    assert names(store)[0] == before
    assert show(store).name == names(store)[1]
    assert show(store).previous == before
    assert (night.job.store / "reports" / "2001-01-01T000001Z.json").exists()
    night.completes()


def test_a_clock_that_runs_backwards_during_a_night_changes_nothing(night, monkeypatch):
    with monkeypatch.context() as patched:
        Clock(patched, datetime(2031, 1, 1, tzinfo=timezone.utc), timedelta(hours=-1))
        night.job.nightly("--set", "retention.generations=1", "--set", "retention.days=1")
    assert night.answers().equals(night.expected)
    night.completes()
    assert verify(str(night.job.store)) == []
