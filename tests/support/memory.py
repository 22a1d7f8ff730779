"""How much memory an action takes at its peak."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def _status(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def measured(action: Callable[[], T]) -> tuple[T, int]:
    """What an action gives, and the bytes by which this process grew meanwhile."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is resident now
    before = _status("VmRSS:")
    result = action()
    return result, _status("VmHWM:") - before
