"""Copies of remote folders on this machine's disk, such as index shards, which ScaNN reads only from there.

    CACHE/DIGEST/copy/        the files
    CACHE/DIGEST/state.json   their names, sizes and times of change; its own tells when they were last asked for

CACHE is `LOOKALIKE_CACHE`, else `~/.cache/lookalike`, and must belong to this user alone: what lies there is read long
after it was compared with its digest. An entry appears in one step, whole. One that was changed since, has links in it
or files that others may write, is made again; one that nobody asked for in `UNUSED_DAYS` is deleted when another is
made.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import BinaryIO

from lookalike.model.errors import LookalikeError

from . import files

UNUSED_DAYS = 7
_COPY = "copy"
_STATE = "state.json"
_UNFINISHED = ".lookalike-"
_NEW = "new"


def local_copy(folder: str, digest: str) -> str:
    """A folder on this machine with the files of `folder`: itself, or of a URL a copy in the cache.

    Args:
        folder: local, or a URL.
        digest: names its content; two folders of one digest hold the same.

    Raises:
        LookalikeError: if somebody else may write the cache.
        OSError: if it cannot be read, or the cache not be written.
    """
    if not files.is_remote(folder):
        return files.join(folder)
    cache = os.path.expanduser(os.environ.get("LOOKALIKE_CACHE", "~/.cache/lookalike"))
    entry = os.path.join(cache, digest)
    os.makedirs(cache, mode=0o700, exist_ok=True)
    _refuse_others(cache)
    if not _is_whole(entry):
        _delete_unused(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix=_UNFINISHED) as temporary:
            new = os.path.join(temporary, _NEW)
            _fetch(folder, os.path.join(new, _COPY))
            with _new_file(os.path.join(new, _STATE)) as state:
                state.write(json.dumps(_state(new)).encode())
            if not _is_whole(entry):  # else another process was faster
                files.move_folder_in(new, entry, last=_STATE)
    os.utime(os.path.join(entry, _STATE))
    return os.path.join(entry, _COPY)


def _refuse_others(cache: str) -> None:
    found = os.stat(cache)
    if _is_mine(found):
        return
    whose = "others may write it" if found.st_uid == os.geteuid() else f"it belongs to user {found.st_uid}"
    raise LookalikeError(
        f"Expected a cache that only this user can write. Received: {cache}; {whose}. `chmod go-w` it, or name another "
        "folder by LOOKALIKE_CACHE"
    )


def _is_mine(found: os.stat_result) -> bool:
    """Whether a file or folder, and no link, belongs to this user, who alone may write it."""
    kind = stat.S_IFMT(found.st_mode)
    return kind in (stat.S_IFREG, stat.S_IFDIR) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _fetch(folder: str, target: str) -> None:
    os.makedirs(target, mode=0o700)
    for file in files.list_files(folder):
        path = os.path.join(target, *file.path.removeprefix(folder.rstrip("/") + "/").split("/"))
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with files.open_read(file.path) as source, _new_file(path) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


def _new_file(path: str) -> BinaryIO:
    """A file to write that others may not write, whatever the umask."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _state(entry: str) -> list[list[str | int]]:
    """What tells, without reading them, that the files are as they were fetched."""
    copy = os.path.join(entry, _COPY)
    found = ((path, os.lstat(path)) for path in _below(copy) if not os.path.isdir(path))
    return sorted([os.path.relpath(path, copy), of.st_size, of.st_mtime_ns] for path, of in found)


def _below(folder: str) -> Iterator[str]:
    """Paths of all files and folders in a folder."""
    for entry in os.scandir(folder):
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)


def _is_whole(entry: str) -> bool:
    copy, state = os.path.join(entry, _COPY), os.path.join(entry, _STATE)
    try:
        if not all(_is_mine(os.lstat(path)) for path in (entry, copy, state, *_below(copy))):
            return False
        with open(state) as file:
            return bool(json.load(file) == _state(entry))
    except (OSError, ValueError, RecursionError):
        return False


def _delete_unused(cache: str) -> None:
    """Deletes old entries and what killed processes left. `LOOKALIKE_CACHE` may name a folder with other things."""
    for entry in os.scandir(cache):
        with contextlib.suppress(OSError):  # another process was faster
            state = os.path.join(entry.path, _STATE)
            unfinished = entry.name.startswith(_UNFINISHED) and set(os.listdir(entry.path)) <= {_NEW}
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
