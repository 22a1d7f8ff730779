"""The folder of a run beside the tables that it writes, for what workers and later stages must see; gone in the end."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence

from ..filesystem import files
from ..filesystem.paths import anchored

_RUN = re.compile("[0-9a-f]{32}")
_LEFT_SECONDS = 86400.0
"""Age from which on the folder of another run is that of a dead one."""


@contextlib.contextmanager
def run_folder(out: str, name: str, flags: Sequence[str]) -> Iterator[str]:
    """A folder in `out`; of a remote `out`, without workers, one on this machine.

    Args:
        out: where the tables go; need not be there.
        name: of the command.
        flags: Beam's; with any, workers must see the folder.
    """
    if files.is_remote(out) and not flags:
        with tempfile.TemporaryDirectory(prefix="lookalike-") as local:
            yield local
        return
    prefix = f".{name}-"
    _delete_dead(anchored(out), prefix)
    folder = files.join(anchored(out), f"{prefix}{uuid.uuid4().hex}")
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            files.delete([folder])


def _delete_dead(out: str, prefix: str) -> None:
    """Deletes the folders of killed runs, in which nothing was written for a day; in a bucket they stay."""
    if files.is_remote(out) or not os.path.isdir(out):
        return
    before = (time.time() - _LEFT_SECONDS) * 1e9
    for entry in os.scandir(out):
        is_ours = _RUN.fullmatch(entry.name.removeprefix(prefix)) and entry.is_dir(follow_symlinks=False)
        is_old = is_ours and entry.stat().st_mtime_ns < before
        if is_old and all(int(file.modified) < before for file in files.list_files(entry.path)):
            with contextlib.suppress(OSError):
                files.delete([entry.path])
