"""Progress of a run: workers leave small notes, the driver adds them up and shows them.

A worker anywhere overwrites one small file in the store every two seconds; the driver reads those few files.
It costs the same for ten shards as for a million, and works on every runner.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from lookalike.model.waiting import PATIENCE, awaited, shown_elsewhere

from ..filesystem import files
from .time_left import TimeLeft

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)
NOTE_SECONDS = 2.0
LOG_SECONDS = 5.0


def runs_folder(store: str) -> str:
    """Where a store keeps the notes of runs under way."""
    return files.join(store, "runs")


class Pace:
    """Tells when it is time for a log line: `LOG_SECONDS` after the last one, or after it was made."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time; if so, the next line is due `LOG_SECONDS` from now."""
        now = time.monotonic()
        if now - self._last <= LOG_SECONDS:
            return False
        self._last = now
        return True


class WorkerNote:
    """Counts of one worker process in one run, written to the run's folder now and then.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: str) -> None:
        self._path = files.join(folder, f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.json")
        self._counts: Counter[str] = Counter()
        self._written = 0.0
        self._lock = threading.Lock()

    def add(self, **counts: int) -> None:
        """Adds to the counts, from any thread; writes them if the last time is more than `NOTE_SECONDS` ago."""
        with self._lock:
            self._counts.update(counts)
            if time.monotonic() - self._written >= NOTE_SECONDS:
                self.write()

    def begin_anew_if_gone(self) -> None:
        """Forgets the counts if what was written is not there any more: they were those of an earlier step."""
        with self._lock, contextlib.suppress(OSError):
            if self._written and not files.exists(self._path):
                self._counts.clear()
                self._written = 0.0

    def write(self) -> None:
        """Writes the counts; that a note cannot be written is no reason to stop work."""
        self._written = time.monotonic()
        with contextlib.suppress(OSError):
            files.write_bytes(self._path, json.dumps(self._counts).encode(), lasting=False)


def worker_note(folder: str) -> WorkerNote:
    """The note of this process in a run: a worker has one, however many pieces of work it is given."""
    note = _note_of(folder, os.getpid())
    note.begin_anew_if_gone()
    return note


@lru_cache(maxsize=4)
def _note_of(folder: str, _: int) -> WorkerNote:
    return WorkerNote(folder)


def added_up(folder: str) -> Counter[str]:
    """The sum of all workers' notes in a run's folder, as far as they can be read."""
    total: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for file in files.list_files(folder):
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                total.update(json.loads(files.read_bytes(file.path)))
    return total


@dataclass(frozen=True)
class _Run:
    """What is shown of a run; see `shown`."""

    title: str
    folder: str
    shards: int
    work: int
    what: str

    def state(self, counts: Counter[str], elapsed: float) -> str:
        """How far it is, as text; `elapsed` in seconds."""
        if not counts:
            return awaited() or "starting"
        done, rate = counts[self.what], counts[self.what] / max(elapsed, 1e-9)
        return (
            f"{counts['shards']:,} of {self.shards:,} shards, {done:,} {self.what}, {rate:,.0f} {self.what}/s"
        )


@contextlib.contextmanager
def shown(title: str, folder: str, shards: int, work: int, what: str) -> Iterator[None]:
    """Shows the progress of a run while the block runs: a bar on a terminal, else a line every few seconds.

    Args:
        title: what is done, such as `embedding`.
        folder: the run's folder, where workers leave `WorkerNote`s with counts `shards`, `work` and `what`.
        shards: shards in all.
        work: what the workers' `work` counts will add up to, in any unit; the time left is told from it.
        what: the count whose rate is shown, such as `images`.
    """
    if not logger.isEnabledFor(logging.INFO):
        show: Callable[[_Run, threading.Event], None] = _nothing
    else:
        show = _bar if sys.stderr.isatty() else _lines
    stop = threading.Event()
    run = _Run(title, folder, shards, work, what)
    thread = threading.Thread(target=show, args=(run, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(OSError):
            files.delete([folder])


def _nothing(run: _Run, stop: threading.Event) -> None:
    """For who wants errors alone."""


def _lines(run: _Run, stop: threading.Event) -> None:
    if stop.wait(PATIENCE):
        return
    logger.info("%s: %s shards to look at", run.title, f"{run.shards:,}")
    started, left = time.monotonic(), TimeLeft(run.work)
    while not stop.wait(LOG_SECONDS):
        counts, now = added_up(run.folder), time.monotonic()
        logger.info("%s: %s", run.title, left.behind(run.state(counts, now - started), now, counts["work"]))


def _bar(run: _Run, stop: threading.Event) -> None:
    started, left = time.monotonic(), TimeLeft(run.work)
    with bar() as progress:
        task = progress.add_task(run.title, total=run.work, state="")
        while not stop.wait(0.5):
            counts, now = added_up(run.folder), time.monotonic()
            state = left.behind(run.state(counts, now - started), now, counts["work"])
            progress.update(task, completed=min(counts["work"], run.work), state=state)


@contextlib.contextmanager
def bar() -> Iterator[Progress]:
    """A progress bar on the terminal that vanishes in the end; its tasks have a field `state`, shown behind it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[state]}"))
    with shown_elsewhere(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress
