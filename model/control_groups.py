"""Control groups: where Linux tells what a container or a service grants its processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def settings_of(root: Path, controller: str, current: list[str], old: list[str]) -> Iterator[str]:
    """What the process's control group, and each above that, says of a resource.

    Args:
        root: where the files of the system are.
        controller: of version 1, such as `cpu`.
        current: names of the files that tell in version 2.
        old: and in version 1.

    Yields:
        The content of a group's files, joined by spaces. Nothing for groups without them, or where there are none.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            base, names = root / "sys/fs/cgroup", current
        elif controller in controllers.split(","):
            base, names = root / "sys/fs/cgroup" / controller, old
        else:
            continue
        # In a container its group may be the top of what it sees, though the path is the host's.
        above = [base.joinpath(*Path(group).parts[1:depth]) for depth in range(1, len(Path(group).parts) + 1)]
        for folder in above:
            try:
                yield " ".join((folder / name).read_text().strip() for name in names)
            except OSError:
                continue
