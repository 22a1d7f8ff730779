"""Opens the files of a shard, and compares them with what was listed: another machine may see other files."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import BinaryIO

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from .base import Shard
from .fields import escape

_RESOLUTIONS = (100, 1_000, 1_000_000, 1_000_000_000)
"""Nanoseconds: times of change as some file systems keep them, and the same file by way of SMB or FUSE shows them."""
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ESTALE)


class NotAsListedError(LookalikeError):
    """A file that is gone, may not be read or is another than was listed; a later run may find it.

    The message is one sentence that names this machine, the file, what was listed and what is there.
    """


@contextlib.contextmanager
def open_listed(file: FileInfo) -> Iterator[BinaryIO]:
    """Opens a file to be read, if it is the one that was listed.

    Raises:
        NotAsListedError: if not; also if the file is replaced while it is read, where its file system tells.
        OSError: if the file system fails otherwise.
    """
    with _told(file):
        if not files.is_remote(file.path):
            # Before it is opened: a named pipe in its place would wait for a writer.
            _compare(file, files.look(file.path))
        with files.open_read(file.path) as opened:
            _compare(file, files.look_at(file.path, opened))
            yield opened


def check_listed(shard: Shard) -> None:
    """Looks once more whether the files of a shard that was read are those that were listed.

    Objects of a store are left out: what was read was the one that was compared.

    Raises:
        NotAsListedError: if one is not.
        OSError: if the file system fails otherwise.
    """
    for file in shard.files:
        if not file.problem and not files.is_remote(file.path):
            with _told(file):
                _compare(file, files.look(file.path))


@contextlib.contextmanager
def _told(file: FileInfo) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise _not_as_listed(file, error.strerror or str(error)) from None


def _compare(listed: FileInfo, found: FileInfo) -> None:
    if listed.size != found.size or not _same_time(listed, found):
        raise _not_as_listed(listed, _facts(found))


def _same_time(listed: FileInfo, found: FileInfo) -> bool:
    if listed.modified == found.modified or files.is_remote(listed.path):
        return listed.modified == found.modified
    one, other = int(listed.modified), int(found.modified)
    return any(other == one // unit * unit or one == other // unit * unit for unit in _RESOLUTIONS)


def _not_as_listed(file: FileInfo, found: str) -> NotAsListedError:
    return NotAsListedError(
        f"{escape(file.path)} on {socket.gethostname()} is not as it was listed. Expected: {_facts(file)}. "
        f"Received: {found}"
    )


def _facts(file: FileInfo) -> str:
    seconds = float(file.modified) / (1 if files.is_remote(file.path) else 1e9)
    return f"{file.size:,} bytes, changed {datetime.fromtimestamp(seconds, timezone.utc).isoformat()}"
