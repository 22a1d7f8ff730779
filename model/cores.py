"""How many cores this process may use: what threads and workers are counted by."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from .control_groups import settings_of

# Ours: joblib's `cpu_count` reads the same files, but takes 0.2 to 0.4 s to import, for each command; and Python's
# `os.process_cpu_count`, from 3.13, knows no quota.


def cores(root: str | Path = "/") -> int:
    """The least of the machine's cores, those that the process is bound to, and its control group's share of them.

    A share that is no whole number is rounded up. Source: Linux, "Control Group v2", `cpu.max`, and "CFS Bandwidth
    Control", `cpu.cfs_quota_us`.

    Args:
        root: where the files of the system are.

    Returns:
        1 or more. Where there are no control groups, or their files cannot be read, they set no limit.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *(math.ceil(quota) for quota in _quotas(Path(root)))]))


def _quotas(root: Path) -> Iterator[float]:
    """The cores that the process's control group grants it, and each above that, where they set a limit."""
    for limit in settings_of(root, "cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        with contextlib.suppress(ValueError):
            quota, period = limit.split()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
