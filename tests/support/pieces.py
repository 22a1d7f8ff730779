"""What workers of the tests do with a piece of work: functions of a module, so that they travel by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def write_down(folder: Path, elements: Iterable[int]) -> None:
    """A file for each element, with the number of the process that had it."""
    for element in elements:
        (folder / f"done-{element}").write_text(str(os.getpid()))


def failing(error: Exception, elements: Iterable[int]) -> None:
    """Raises at 3."""
    for element in elements:
        if element == 3:
            raise error


def ended(once: Path | None, elements: Iterable[int]) -> None:
    """Ends the process at 0: always, or unless a file is there, which it makes."""
    for element in elements:
        if element == 0 and not (once and once.exists()):
            if once:
                once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def begun_and_slow(folder: Path, elements: Iterable[int]) -> None:
    """As `slow`; when it has begun there is a file."""
    (folder / "begun").touch()
    slow(elements)


def slow(elements: Iterable[int]) -> None:
    for _ in elements:
        time.sleep(5)
