"""Tries changes: each in a copy of the tree, by the tests of the module and of its nearest callers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT, module_name
from tests.test_rooms import IMPORTS, MODULES

from . import (
    of_api,
    of_duplicates,
    of_embedding,
    of_filesystem,
    of_index,
    of_jobs,
    of_model,
    of_pages,
    of_query,
    of_runner,
    of_search,
    of_sources,
    of_standing,
    of_store,
)
from .change import Change

ALL: list[tuple[str, Change]] = [
    (file, change)
    for part in (
        of_filesystem,
        of_runner,
        of_store,
        of_sources,
        of_embedding,
        of_index,
        of_search,
        of_query,
        of_standing,
        of_duplicates,
        of_pages,
        of_model,
        of_api,
        of_jobs,
    )
    for file, changes in part.CHANGES.items()
    for change in changes
]
"""Every change with the file it is made in."""
CALLERS = 4
"""Callers whose tests are tried, those that cost least."""
SECONDS = 240
"""A change whose tests take longer makes something hang: noticed."""
_SLOW_FIXTURES = (
    "published",
    "copied",
    "job",
    "zoo",
    "encoder",
    "make_encoder",
    "Job(",
    "run(",
    "subprocess",
)


@dataclass(frozen=True)
class Outcome:
    """What became of a change.

    Attributes:
        file: the file.
        change: the change.
        noticed: whether a test failed.
        seconds: that it took.
        tests: the test that failed, or the files that were tried in vain.
    """

    file: str
    change: Change
    noticed: bool
    seconds: float
    tests: str


def not_found(root: Path = ROOT) -> list[str]:
    """A sentence for each change whose text is not in its file exactly once, or which changes nothing."""
    return [
        f"{file}: expected once, found {count} times: {change.find!r}"
        for file, change in ALL
        if (count := (root / file).read_text("utf-8").count(change.find)) != 1
        or change.find == change.replace
    ]


def suites_of(file: str, change: Change) -> list[str]:
    """Test files to try: the module's own, those that the change names, then those of its callers, cheap ones first."""
    name = module_name(ROOT / file)
    callers = [other for other, imported in IMPORTS.items() if name in imported]
    tests = [_mirror(ROOT / file), *(ROOT / test.partition("::")[0] for test in change.tests)]
    of_callers = sorted({_mirror(MODULES[caller]) for caller in callers} - set(tests), key=_cost)
    found = [*tests, *[path for path in of_callers if path.exists()][:CALLERS]]
    named = {test.partition("::")[0]: test for test in change.tests}
    places = (str(path.relative_to(ROOT)) for path in found if path.exists())
    return list(dict.fromkeys(named.get(path, path) for path in places))


def _mirror(path: Path) -> Path:
    return ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}"


def _cost(path: Path) -> int:
    """How much a test file costs, roughly: by how often it names what runs a whole job or builds an encoder."""
    text = path.read_text("utf-8") if path.exists() else ""
    return sum(text.count(name) for name in _SLOW_FIXTURES)


class Copy:
    """A copy of the tree in a folder of its own, whose code the tests there import.

    Args:
        folder: for the copy; must not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        links = folder / ".links" / "lookalike"
        links.mkdir(parents=True)
        for path in (*(folder / "pipelines").iterdir(), folder / "model"):
            (links / path.name).symlink_to(path)

    def try_out(self, file: str, change: Change) -> Outcome:
        """Makes a change, runs the tests, and takes it back."""
        path = self._folder / file
        before = path.read_text("utf-8")
        tests = suites_of(file, change)
        started = time.monotonic()
        path.write_text(before.replace(change.find, change.replace), "utf-8")
        try:
            noticed, by = self._run(tests)
        finally:
            path.write_text(before, "utf-8")
        return Outcome(file, change, noticed, time.monotonic() - started, by)

    def _run(self, tests: Sequence[str]) -> tuple[bool, str]:
        environment = os.environ | {
            "PYTHONPATH": str(self._folder / ".links"),
            # A change within the same second and of the same length would meet the code of before.
            "PYTHONDONTWRITEBYTECODE": "1",
            "LOOKALIKE_CACHE": str(self._folder / ".cache"),
        }
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
        temporary = self._folder / ".tmp"
        process = subprocess.Popen(
            [*command, f"--basetemp={temporary}"],
            cwd=self._folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return True, f"more than {SECONDS} s"
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        if process.returncode < 0:
            return True, f"ended by signal {-process.returncode}"
        if process.returncode not in (0, 1):
            raise RuntimeError(f"the tests {tests} cannot be run:\n{said[-3000:]}")
        failed = [line.split(" ")[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return process.returncode == 1, failed[0] if failed else ", ".join(tests)


def chosen(only: str | None, every: int) -> Iterator[tuple[str, Change]]:
    """Every so manyth change, of those whose file's path or reason holds the text `only`."""
    found = [(f, c) for f, c in ALL if only is None or only in f or only in c.why]
    yield from found[:: max(1, every)]
