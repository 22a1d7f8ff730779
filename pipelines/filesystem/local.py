"""Files of this machine: whole or not there, also after a power cut."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from typing import IO

from lookalike.model.errors import LookalikeError

from .listing import TEMPORARY, FileInfo, info_of
from .naming import LocalFile, naming

_LEFT_SECONDS = 86400.0
"""Age from which on what another run left unfinished is that of a dead one."""


@contextlib.contextmanager
def write_atomic(path: str, *, lasting: bool = True) -> Iterator[IO[bytes]]:
    """Opens a file that is written beside its place, flushed to the disk and renamed; if not `lasting`, not flushed.

    Raises:
        LookalikeError: if a device, a pipe or a socket is there: the file would take its place for everybody.
        OSError: if it cannot be written.
    """
    _refuse_special(path)
    folder = os.path.dirname(path) or "."
    make_folder(folder)
    # Not by the process's number: in two containers it is the same one.
    temporary = os.path.join(folder, f".{os.path.basename(path)}{TEMPORARY}{secrets.token_hex(8)}")
    try:
        with io.BufferedRandom(LocalFile(temporary, "x+")) as file:
            yield file
            file.flush()
            if lasting:
                with naming(temporary):
                    os.fsync(file.fileno())
        os.replace(temporary, path)
        if lasting:
            sync(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _refuse_special(path: str) -> None:
    with contextlib.suppress(OSError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise LookalikeError(
                f"Expected a place for a file. Received: a device, a pipe or a socket: {path}"
            )


def move_in(temporary: str, path: str) -> None:
    """Gives a finished file its final name on the same disk. Raises as `write_atomic`."""
    _refuse_special(path)
    sync(temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    sync(os.path.dirname(path) or ".")


def move_folder_in(temporary: str, folder: str) -> None:
    """Gives a finished folder its final place on the same disk, in the place of what is there."""
    os.chmod(temporary, 0o755)
    delete(folder)
    os.rename(temporary, folder)
    sync(os.path.dirname(folder))


def make_folder(folder: str) -> None:
    """Makes a local folder, and those above it, so that they survive a power cut; one that is there is no error."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder) or "."
    make_folder(parent)
    os.makedirs(folder, exist_ok=True)
    sync(parent)


def sync(path: str) -> None:
    """Makes what was written into a local file, or renamed and deleted in a local folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def walk(folder: str) -> Iterator[FileInfo]:
    """All files below a folder, in no order, and none of them held; none if it is not there."""
    folders = []
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.is_dir():
                folders.append(entry.path)
                continue
            with contextlib.suppress(FileNotFoundError):  # an unfinished file that got its name meanwhile
                if entry.is_file():
                    yield info_of(entry.path, entry.stat())
    for path in folders:
        yield from walk(path)


def delete(path: str) -> None:
    """Deletes a file or a whole folder; what is gone already is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def delete_dead(path: str) -> None:
    """Deletes what runs that were killed left of a file or a folder, and in which nothing was written for a day.

    What lies in a folder that cannot be listed stays.
    """
    parent, name = os.path.split(path)
    try:
        entries = list(os.scandir(parent or "."))
    except OSError:
        return
    before = time.time() - _LEFT_SECONDS
    for entry in entries:
        if entry.name.startswith(f".{name}{TEMPORARY}") and not entry.is_symlink():
            with contextlib.suppress(OSError):  # another run deletes them, too
                inside = os.scandir(entry.path) if entry.is_dir() else ()
                if all(one.stat().st_mtime < before for one in (entry, *inside)):
                    delete(entry.path)
