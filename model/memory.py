"""How much memory this process may use: what is held at once is sized by it."""

from __future__ import annotations

import os
from pathlib import Path

from .control_groups import settings_of


def memory(root: str | Path = "/") -> int:
    """The least of the machine's memory and what its control groups grant this process, in bytes.

    Source: Linux, "Control Group v2", `memory.max`, and "Memory Resource Controller", `memory.limit_in_bytes`.

    Args:
        root: where the files of the system are.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = settings_of(Path(root), "memory", ["memory.max"], ["memory.limit_in_bytes"])
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])
