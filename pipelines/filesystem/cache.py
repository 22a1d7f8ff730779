"""Copies of remote folders on this machine's disk, such as index shards, which ScaNN reads only from there.

    CACHE/DIGEST/copy/        the files
    CACHE/DIGEST/state.json   their names, sizes and times of change; its own tells when they were last asked for

CACHE is `LOOKALIKE_CACHE`, else `~/.cache/lookalike`. An entry appears in one step, whole. One that was changed
since is made again; one that nobody asked for in `UNUSED_DAYS` is deleted when another is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time

from . import files

UNUSED_DAYS = 7
_COPY = "copy"
_STATE = "state.json"
_UNFINISHED = ".lookalike-"


def local_copy(folder: str, digest: str) -> str:
    """A folder on this machine with the files of `folder`: itself, or of a URL a copy in the cache.

    Args:
        folder: local, or a URL.
        digest: names its content; two folders of one digest hold the same.

    Raises:
        OSError: if it cannot be read, or the cache not be written.
    """
    if not files.is_remote(folder):
        return files.join(folder)
    cache = os.path.expanduser(os.environ.get("LOOKALIKE_CACHE", "~/.cache/lookalike"))
    entry = os.path.join(cache, digest)
    if not _is_whole(entry):
        os.makedirs(cache, exist_ok=True)
        _delete_unused(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix=_UNFINISHED) as temporary:
            new = os.path.join(temporary, "new")
            _fetch(folder, os.path.join(new, _COPY))
            with open(os.path.join(new, _STATE), "w") as state:
                json.dump(_state(new), state)
            if not _is_whole(entry):  # else another process was faster
                files.move_folder_in(new, entry, last=_STATE)
    os.utime(os.path.join(entry, _STATE))
    return os.path.join(entry, _COPY)


def _fetch(folder: str, target: str) -> None:
    os.makedirs(target)
    for file in files.list_files(folder):
        name = os.path.basename(file.path)
        with files.open_read(file.path) as source, open(os.path.join(target, name), "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


def _state(entry: str) -> list[list[str | int]]:
    """What tells, without reading them, that the files are as they were fetched."""
    found = ((file.name, file.stat()) for file in os.scandir(os.path.join(entry, _COPY)))
    return sorted([name, stat.st_size, stat.st_mtime_ns] for name, stat in found)


def _is_whole(entry: str) -> bool:
    try:
        with open(os.path.join(entry, _STATE)) as state:
            return bool(json.load(state) == _state(entry))
    except (OSError, ValueError, RecursionError):
        return False


def _delete_unused(cache: str) -> None:
    """Deletes old entries and what killed processes left. `LOOKALIKE_CACHE` may name a folder with other things."""
    for entry in os.scandir(cache):
        with contextlib.suppress(OSError):  # another process was faster
            state = os.path.join(entry.path, _STATE)
            unfinished = entry.name.startswith(_UNFINISHED)
            if not unfinished and not _is_entry(entry.path):
                continue
            asked_for = os.stat(entry.path if unfinished else state).st_mtime
            if asked_for < time.time() - UNUSED_DAYS * 86400:
                shutil.rmtree(entry.path)


def _is_entry(folder: str) -> bool:
    """Whether a folder holds a copy and its state, and nothing else. Raises OSError for what is no folder."""
    if set(os.listdir(folder)) != {_COPY, _STATE}:
        return False
    try:
        with open(os.path.join(folder, _STATE)) as state:
            return isinstance(json.load(state), list)
    except (ValueError, RecursionError):
        return False
