"""How many cores this process may use: what threads and workers are counted by."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

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
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            base, names = root / "sys/fs/cgroup", ["cpu.max"]
        elif "cpu" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # In a container its group may be the top of what it sees, though the path is the host's.
        above = [base.joinpath(*Path(group).parts[1:depth]) for depth in range(1, len(Path(group).parts) + 1)]
        for folder in above:
            try:
                quota, period = " ".join((folder / name).read_text() for name in names).split()
            except (OSError, ValueError):
                continue
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
