"""The memory of a process and of all below it, while it runs."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHARE = re.compile(r"^Pss:\s+([0-9]+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code; of a signal the negative number.
        text: what it printed on both outputs.
        peak: the most bytes that it and the processes below it had at a time.
        seconds: how long it took.
    """

    code: int
    text: str
    peak: int
    seconds: float


def run(words: Sequence[object], **options: Any) -> Ended:
    """Runs a command, and looks twenty times a second at its memory."""
    peak, started = 0, time.monotonic()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(list(map(str, words)), stdout=printed, stderr=subprocess.STDOUT, **options)
        while process.poll() is None:
            peak = max(peak, sum(map(_share, _tree(process.pid))))
            time.sleep(0.05)
        printed.seek(0)
        return Ended(process.returncode, printed.read(), peak, time.monotonic() - started)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in thread.read_text().split():
                yield from _tree(int(child))


def _share(pid: int) -> int:
    """Bytes of a process, of pages that several have its part: proc(5), `smaps_rollup`."""
    with contextlib.suppress(OSError):
        found = _SHARE.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0
