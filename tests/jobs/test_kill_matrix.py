"""A run that is killed at any moment leaves a store that answers, and the next run ends where it would have ended.

Each point of the matrix is a command on a copy of a prepared store that dies by SIGKILL: before its nth file
operation, or so that what it had not flushed to the disk is lost as well (`PowerCut`), or after a random time. Then
the store must be readable and serve exactly what was served before or exactly what is served after; and the same
command, run again, must leave the same files, byte for byte, as one that was never interrupted.

Every `STEP`-th operation of a night is tried; all of them by

    LOOKALIKE_KILL_EVERY=1 .venv/bin/python -m pytest -m slow tests/jobs/test_kill_matrix.py
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import yaml

from tests.conftest import Job, picture
from tests.support.forks import Forks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
STEP = int(os.environ.get("LOOKALIKE_KILL_EVERY", "200"))
RANDOM_TIMES = 3
"""Random moments in each of the two nights."""
SIGKILL = 9
POWER_CUTS = {"power cut": "all", "power cut, some lost": "some"}
"""Kind of point -> what is lost of what was not flushed."""


@dataclass(frozen=True)
class Scenario:
    """A command on a prepared store.

    Attributes:
        name: for the summary.
        store: the prepared store; not to be changed.
        arguments: of the command, but for its store.
        before, after: what `nights.look` sees without the command, and after it ran undisturbed.
        operations: file operations of an undisturbed run.
        seconds: how long it takes.
        leaves: what its repetition may leave behind for the next night to delete, as a glob.
    """

    name: str
    store: Path
    arguments: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    operations: int
    seconds: float
    leaves: str = ""


@dataclass(frozen=True)
class Point:
    """Where a scenario is killed.

    Attributes:
        scenario: which.
        kind: `operation`, one of `POWER_CUTS`, or `time`.
        at: number of the operation, or seconds.
    """

    scenario: Scenario
    kind: str
    at: float

    def __str__(self) -> str:
        return f"{self.scenario.name}, {self.kind} {self.at:.4g}"


@dataclass(frozen=True)
class Outcome:
    """What became of a point.

    Attributes:
        point: the point.
        killed: False if the command had ended before.
        served: `nothing`, `the old` or `the new` generation, between the kill and the next run.
        problems: what is wrong; nothing should be.
    """

    point: Point
    killed: bool
    served: str
    problems: tuple[str, ...]


class Matrix:
    """Two children at a time on copies of stores, over one corpus.

    The corpus was three shards. Since the first night one is as it was, one changed, one is gone and one is new.
    There are images that cannot be read, and ids twice in a shard and in two shards.

    Args:
        folder: for everything.
        encoder: the bundle.
    """

    def __init__(self, folder: Path, encoder: Path) -> None:
        self._folder = folder
        self._free: SimpleQueue[tuple[Path, Forks]] = SimpleQueue()
        for number in range(2):
            (place := folder / f"place{number}").mkdir()
            self._free.put((place, Forks("tests.support.nights", folder)))
        job = Job(folder, encoder)
        images = {f"p{i:02}.jpg": picture(i) for i in range(47)} | {"broken.jpg": b"no image"}
        # Packed anew after the first night; the names stay.
        first, second, third, fourth = map(Path, job.pack(images | {"p15.jpg": picture(99)}, per_shard=12))
        tonight = {second: second.read_bytes() * 2, fourth: fourth.read_bytes() + first.read_bytes()}
        job.pack(images, per_shard=12)
        second.write_bytes(second.read_bytes() * 2)
        fourth.unlink()
        gates = {"max_reject_fraction": 0.5, "max_shrink_fraction": 0.5}
        # A relative path, because the names of shards decide which index shard holds them.
        job.set(corpus={"shards": "shards"}, gates=gates, index={"shard_vectors": 40})
        job.config.write_text(yaml.safe_dump(job.settings))
        ids = folder / "ids.txt"
        ids.write_text("\n".join(sorted(images)))
        pictures = job.query_file({"p01.jpg": images["p01.jpg"], "broken.jpg": b"no image"})
        self._looking = {"config": str(job.config), "queries": [str(ids), str(pictures)]}
        self.one_night = folder / "one night"
        self.two_nights = folder / "two nights"
        self.nothing = folder / "nothing"
        self.nothing.mkdir()
        self._prepare(self.one_night, "nightly")
        third.unlink()
        for shard, content in tonight.items():
            shard.write_bytes(content)
        self._prepare(self.one_night, "exclude", "add", "p03.jpg")
        shutil.copytree(self.one_night, self.two_nights)
        self._prepare(self.two_nights, "nightly")

    def close(self) -> None:
        while not self._free.empty():
            self._free.get()[1].close()

    def _prepare(self, store: Path, *arguments: str) -> None:
        with self._child() as (place, forks):
            done = forks.call("command", place, store=str(store), arguments=self._command(arguments, store))
        assert done.value, done
        assert done.value["code"] == 0, done

    @contextlib.contextmanager
    def _child(self) -> Iterator[tuple[Path, Forks]]:
        place, forks = self._free.get()
        try:
            yield place, forks
        finally:
            self._free.put((place, forks))

    def _command(self, arguments: Sequence[str], store: Path) -> list[str]:
        return [*arguments, "--config", str(self._folder / "job.yaml"), "--set", f"store={store}"]

    def scenario(self, name: str, prepared: Path, *arguments: str) -> Scenario:
        """Runs a command undisturbed, twice, to know where it ends and how long it takes at best."""
        with self._child() as (place, forks):
            looking = {**self._looking, "out": str(place / "out")}
            seconds = []
            for _ in range(2):
                store = _copy(prepared, place)
                before = forks.call("look", place, store=str(store), **looking)
                ran = forks.call(
                    "command", place, store=str(store), arguments=self._command(arguments, store)
                )
                seconds.append(ran.seconds)
            after = forks.call("look", place, store=str(store), **looking)
        assert ran.value, ran
        assert ran.value["code"] == 0, ran
        operations = len(ran.value["operations"])
        return Scenario(name, prepared, arguments, before.value, after.value, operations, min(seconds))

    def outcomes(self, points: Sequence[Point]) -> list[Outcome]:
        """Tries all points, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self._outcome, points))

    def _outcome(self, point: Point) -> Outcome:
        scenario = point.scenario
        with self._child() as (place, forks):
            store = _copy(scenario.store, place)
            arguments = self._command(scenario.arguments, store)
            if point.kind == "time":
                dead = forks.call(
                    "command", place, store=str(store), arguments=arguments, kill_after=point.at
                )
            else:
                lost = POWER_CUTS.get(point.kind)
                dead = forks.call(
                    "command", place, store=str(store), arguments=arguments, at=point.at, power_cut=lost
                )
            finished = _finished(store)
            looking = {**self._looking, "out": str(place / "out")}
            ended = forks.call("resume", place, store=str(store), arguments=arguments, looking=looking)
            if dead.signal not in (0, SIGKILL) or ended.value is None:
                return Outcome(point, True, "?", (f"{dead.signal}, {dead.log}, {ended.signal}, {ended.log}",))
            again = {path: stamp for path, stamp in _finished(store).items() if path in finished}
        served, problems = _judged(scenario, ended.value)
        if again != {path: stamp for path, stamp in finished.items() if path in again}:
            problems.append("a finished shard was embedded again")
        return Outcome(point, dead.signal == SIGKILL, served, tuple(problems))


def _copy(prepared: Path, place: Path) -> Path:
    store = place / "store"
    for old in (store, *place.glob("power-cut-*")):
        shutil.rmtree(old, ignore_errors=True)
    return Path(shutil.copytree(prepared, store))


def _finished(store: Path) -> dict[str, tuple[int, int]]:
    """Files of finished shards -> what changes if they are written again."""
    notes = list(store.glob("embeddings/*/*.json"))
    files = [note.with_suffix(".parquet") for note in notes]
    paths = [str(path) for path in (*notes, *files, *(file.parent / "rejects" / file.name for file in files))]
    return {
        path: ((stat := os.stat(path)).st_ino, stat.st_mtime_ns) for path in paths if os.path.exists(path)
    }


def _judged(scenario: Scenario, found: dict[str, Any]) -> tuple[str, list[str]]:
    """What was served after the kill, and what is wrong."""
    before, after = scenario.before, scenario.after
    left, done, ended = found["left"], found["done"], found["after"]
    problems = [f"left: {problem}" for problem in left["problems"] if left["current"]]
    if left["current"] == before["current"] and left["tables"].items() <= before["tables"].items():
        served = "the old" if left["current"] else "nothing"
    else:
        served = "the new"
        if not left["tables"].items() <= after["tables"].items():
            problems.append("left: served is neither the old nor the new")
    # Where a rollback was killed behind its last step, its repetition finds nothing to do.
    if done["code"] and not (served == "the new" and "is served already" in done["err"]):
        problems.append(f"then: exit code {done['code']}: {done['err']}")
    problems += [f"in the end: {problem}" for problem in ended["problems"]]
    if ended["tables"] != after["tables"]:
        problems.append("in the end: other tables")
    # A manifest that was written, but never served, is one more generation until it is pruned.
    unserved = ended["generations"] - after["generations"]
    extra = {
        path for path in ended["files"] if path.startswith("generations/") and path not in after["files"]
    }
    if unserved not in (0, 1) or len({path.split("/")[1] for path in extra}) != unserved:
        problems.append(f"in the end: generations {sorted(extra)}")
    missing = {path for path, digest in after["files"].items() if ended["files"].get(path) != digest}
    surplus = {path for path in ended["files"] if not fnmatch(path, scenario.leaves)}
    surplus -= after["files"].keys() | extra
    problems += [f"in the end: {path} is missing or another" for path in sorted(missing)]
    problems += [f"in the end: {path} is left" for path in sorted(surplus)]
    return served, problems


@pytest.fixture(scope="module")
def matrix(tmp_path_factory, encoder):
    made = Matrix(tmp_path_factory.mktemp("matrix"), encoder)
    yield made
    made.close()


@pytest.fixture
def tell(capsys):
    """Prints a summary of outcomes where people see it, and fails if one of them is bad."""

    def summarise(outcomes: Sequence[Outcome], seconds: float) -> None:
        groups = Counter((o.point.scenario.name, o.point.kind) for o in outcomes)
        with capsys.disabled():
            print()
            for (name, kind), count in groups.items():
                those = [o for o in outcomes if (o.point.scenario.name, o.point.kind) == (name, kind)]
                killed = [o for o in those if o.killed]
                served = Counter(o.served for o in killed)
                left = ", ".join(f"{many} {what}" for what, many in sorted(served.items()))
                bad = sum(bool(o.problems) for o in those)
                print(
                    f"{name}: {count} points by {kind}, {len(killed)} killed; served then: {left}; {bad} bad"
                )
            killed = sum(o.killed for o in outcomes)
            print(f"killed {killed} times in {seconds:.0f} s, {sum(bool(o.problems) for o in outcomes)} bad")
        bad = [f"{o.point}: {'; '.join(o.problems)}" for o in outcomes if o.problems]
        assert not bad, "\n".join(bad)

    return summarise


def test_a_night_that_is_killed_at_any_moment_is_made_good_by_the_next_run(matrix, tell):
    keep = ("--set", "retention.generations=1")
    nights = [
        matrix.scenario("first night", matrix.nothing, "nightly"),
        matrix.scenario("next night", matrix.one_night, "nightly", *keep),
    ]
    # As many index shards as the first night had.
    grown = (*keep, "--set", "index.grow=1", "--set", "index.shard_vectors=1000")
    grows = matrix.scenario("night that grows", matrix.one_night, "nightly", *grown)
    assert any("-added/" in path for path in grows.after["files"])
    moments = random.Random(0)
    points = [
        Point(grows, kind, at)
        for kind in ("operation", *POWER_CUTS)
        for at in range(grows.operations // 2, grows.operations + 1, STEP)
    ]
    for night in nights:
        points += [Point(night, "operation", at) for at in range(1, night.operations + 1, STEP)]
        for shift, kind in enumerate(POWER_CUTS):
            points += [Point(night, kind, at) for at in range(1 + shift, night.operations + 1, 3 * STEP)]
        points += [Point(night, "time", moments.uniform(0, night.seconds)) for _ in range(RANDOM_TIMES)]
    started = time.monotonic()
    outcomes = matrix.outcomes(points)
    tell(outcomes, time.monotonic() - started)
    assert sum(outcome.killed for outcome in outcomes) >= 0.8 * len(points)


def test_a_command_that_looks_after_a_store_may_be_killed_too(matrix, tell):
    first = sorted(path.name for path in (matrix.two_nights / "generations").iterdir())[0]
    rollback = matrix.scenario("rollback", matrix.two_nights, "generations", "rollback", "--to", first)
    commands = [
        # It is to work at once, and touches nothing but CURRENT.
        replace(rollback, leaves=".CURRENT.tmp-*"),
        matrix.scenario("prune", matrix.two_nights, "generations", "prune", "--keep", "1"),
        matrix.scenario("exclude", matrix.two_nights, "exclude", "add", "p01.jpg"),
    ]
    points = [
        Point(scenario, kind, at)
        for scenario in commands
        for kind in ("operation", *POWER_CUTS)
        for at in range(1, scenario.operations + 1, max(1, STEP // 2))
    ]
    started = time.monotonic()
    tell(matrix.outcomes(points), time.monotonic() - started)
