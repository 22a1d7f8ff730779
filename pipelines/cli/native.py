"""What native libraries print on file descriptor 2, past Python's logging, as records of the log.

The descriptor becomes a pipe to a small child process, forked before there are threads. It writes the records, each
line once however often it comes; and it outlives a crash, so that a library's last words reach the user. Our own log,
progress bars, tracebacks and `faulthandler` go to the real standard error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import re
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import NoReturn

from .output import standard_error

_END = b"\0end of the log\n"
"""What the parent writes last; without it, the parent has crashed."""
_ONLY_ERRORS = b"\0only errors from now on\n"
_NOISE = re.compile(r"I\d{4} |\S+ \S+: I |INFO|WARNING: All log messages before absl::InitializeLog")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)
_MOST_KINDS = 50
"""Lines that differ in more than their numbers; further ones are counted together."""
_LAST_WORDS = 20
_LONGEST = 2_000

Emit = Callable[[int, str], None]


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Context in which native lines become records of the logger `native`; call it after `logs.set_up`."""
    sys.stderr.flush()
    before, real = sys.stderr, os.dup(2)
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        _serve(readable, real, writable)
    os.close(readable)
    os.dup2(writable, 2)
    os.close(writable)
    sys.stderr = standard_error(real, before.encoding)
    _move_handlers(before, sys.stderr)
    faulthandler.enable(sys.stderr)
    try:
        yield
    finally:
        faulthandler.disable()
        with contextlib.suppress(OSError):
            os.write(2, b"\n" + _END)  # what came before may be no whole line
        sys.stderr.flush()
        os.dup2(real, 2)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        _move_handlers(sys.stderr, before)
        sys.stderr = before


def only_errors() -> None:
    """Within `captured`: nothing more is told but a process's last words."""
    os.write(2, b"\n" + _ONLY_ERRORS)


def _move_handlers(before: object, after: object) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)


def _serve(readable: int, real: int, writable: int) -> NoReturn:
    """The child: reads until the parent says that it ends, or is gone with all that it started."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(
                number, signal.SIG_IGN
            )  # they are for the parent, which may still have something to say
        os.close(writable)
        os.dup2(real, 2)
        for stream in (0, 1):
            with contextlib.suppress(OSError):
                os.close(stream)
        logger = logging.getLogger("native")
        lines = NativeLines(lambda level, text: logger.log(level, "%s", text))
        rest = b""
        while data := os.read(readable, 1 << 16):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line + b"\n" == _END:
                    lines.end()
                    os._exit(0)
                if line + b"\n" == _ONLY_ERRORS:
                    logging.disable(logging.WARNING)
                    continue
                lines.add(line)
            if len(rest) > _LONGEST:
                lines.add(rest)
                rest = b""
        if rest:
            lines.add(rest)
        lines.crashed()
    finally:
        os._exit(0)


class NativeLines:
    """Lines as they come; those that differ from an earlier one only in numbers are counted.

    Args:
        emit: takes the level of `logging` and the text of a record.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._seen: Counter[str] = Counter()
        self._more = 0
        self._last: deque[str] = deque(maxlen=_LAST_WORDS)

    def add(self, line: bytes) -> None:
        """Tells a line, if it is the first of its kind."""
        text = line[:_LONGEST].decode("utf-8", "backslashreplace").strip()
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        if not text:
            return
        self._last.append(text)
        kind = _NUMBER.sub("0", text)
        if kind not in self._seen and len(self._seen) == _MOST_KINDS:
            self._more += 1
            return
        self._seen[kind] += 1
        if self._seen[kind] == 1:
            self._emit(logging.DEBUG if _NOISE.match(text) else logging.WARNING, text)

    def end(self) -> None:
        """Tells how often lines came again."""
        for kind, count in self._seen.items():
            if count > 1 and not _NOISE.match(kind):
                self._emit(logging.WARNING, f"{count - 1:,} more like: {kind}")
        if self._more:
            self._emit(logging.WARNING, f"{self._more:,} more lines of other kinds")

    def crashed(self) -> None:
        """Tells the last lines of a process that ended without a word of its own."""
        if self._last:
            self._emit(logging.ERROR, "the process ended in the middle of its work; its libraries said last:")
        for text in self._last:
            self._emit(logging.ERROR, text)
