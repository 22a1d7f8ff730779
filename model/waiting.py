"""What a process is waiting for: told on standard error where it takes longer than one waits without asking.

An import of TensorFlow takes seconds in which nothing else would be seen. On a terminal there is a line for as long as
it lasts, in a log one that stays.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import threading
from collections.abc import Iterator

from .printable import printable

logger = logging.getLogger(__name__)
PATIENCE = 0.5
"""Seconds after which it is told."""
CLEAR = "\r\x1b[K"
"""To a terminal: back to the start of the line, and nothing on it."""
_told: list[str] = []
_elsewhere = 0
_lock = threading.Lock()


def awaited() -> str | None:
    """What is being waited for, if it was told: the last that began."""
    return _told[-1] if _told else None


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Context of something slow.

    Args:
        what: is done, such as `importing TensorFlow`.
    """
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


@contextlib.contextmanager
def shown_elsewhere() -> Iterator[None]:
    """Context in which something else, a progress bar, has the terminal and shows `awaited` itself."""
    global _elsewhere
    with _lock:
        _elsewhere += 1
        _draw("")
    try:
        yield
    finally:
        with _lock:
            _elsewhere -= 1


def _tell(what: str, over: threading.Event) -> None:
    if over.wait(PATIENCE) or not logger.isEnabledFor(logging.INFO):
        return
    on_terminal = sys.stderr.isatty()
    if not on_terminal:
        logger.info("%s", what)
    with _lock:
        _told.append(what)
        if on_terminal and not _elsewhere:
            _draw(what)
    over.wait()
    with _lock:
        _told.remove(what)
        if on_terminal and not _elsewhere:
            _draw(_told[-1] if _told else "")


def _draw(what: str) -> None:
    if sys.stderr.isatty():
        shown = f"{printable(what)} ..."[: shutil.get_terminal_size().columns - 1] if what else ""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(CLEAR + shown)
            sys.stderr.flush()
