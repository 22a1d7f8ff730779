"""Every file operation under a folder, counted in order; at the nth one the process dies or the operation fails.

The interpreter announces opening, renaming, deleting, listing and the like to its audit hooks before it does
them (PEP 578); flushing to the disk and changing a file in place are not among them and are wrapped. So the
states before operation 1, 2, 3, ... are all states in which a crash can leave the folder, except within a write.
An audit hook cannot be taken back: it is added once a process, and does nothing while no folder is watched.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

ANNOUNCED = {
    "open",
    "os.chmod",
    "os.link",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.symlink",
    "os.truncate",
    "os.utime",
}
WRAPPED = ("fsync", "ftruncate", "pwrite")


class FaultPoints:
    """The operations seen so far, and what happens at one of them.

    Args:
        folder: operations on paths outside of it are not counted.
        at: number, from 1, of the operation before which `fault` is called; 0 does it at all, None at none.
        fault: does not return, or raises; gets the operation as `(name, path)`.
        matches: which operations are counted; None counts all.

    Attributes:
        seen: the operations counted, as `(name, path relative to the folder)`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        at: int | None = None,
        fault: Callable[[str, str], None] | None = None,
        matches: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._folder = os.path.realpath(folder)
        self._at = at
        self._fault = fault
        self._matches = matches
        self.seen: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)

    def announce(self, name: str, path: str) -> None:
        path = os.path.abspath(path)
        if path != self._folder and not path.startswith(self._folder + os.sep):
            return
        path = os.path.relpath(path, self._folder)
        if self._matches is not None and not self._matches(name, path):
            return
        self.seen.append((name, path))
        # Not the length of `seen`, which another thread may have changed by now.
        if self._at in (0, next(self._numbers)) and self._fault is not None:
            self._fault(name, path)


class PowerCut(FaultPoints):
    """Dies before an operation as `die` does; and the folder is left as a disk would hold it that lost its power.

    What is promised by POSIX, and kept by ext4, XFS and others when they are asked for it, is all there is left:

    - A file's content is safe once the file was flushed (`fsync`); of one that never was, half is left.
    - A name in a folder, be it of a file or a folder, that was made, replaced, renamed or deleted, is safe once that
      folder was flushed: without, it is as it was when the folder was flushed last. A rename from one folder to
      another needs both; a new folder needs the one it is in.
    - All that was there at the beginning is safe.

    Bytes changed in place after a flush count as safe: only the lock file is written so, and nothing hangs on it.

    Args:
        folder, at: as for `FaultPoints`. Beside the folder one more is made, which keeps what is deleted.
        some: None loses all names that were not flushed. Else each is lost or kept at random, with this seed: a disk
            may have written any of them in time.
    """

    def __init__(self, folder: str | os.PathLike[str], at: int | None, some: int | None = None) -> None:
        super().__init__(folder, at, self._cut)
        self._dice = None if some is None else random.Random(some)
        self._kept = tempfile.mkdtemp(prefix="power-cut-", dir=os.path.dirname(self._folder))
        self._names: dict[int, dict[str, int]] = {}
        self._folders: dict[int, int] = {}
        self._flushed: set[int] = set()
        self._own = threading.local()
        for below, _, _ in os.walk(self._folder):
            self._flushed.update(self._flush_folder(below).values())

    def announce(self, name: str, path: str) -> None:
        if getattr(self._own, "busy", False):
            return
        super().announce(name, path)
        if name == "fsync":
            self._own.busy = True
            with contextlib.suppress(FileNotFoundError):  # of a file that was deleted meanwhile
                if os.path.isdir(path):
                    self._flush_folder(path)
                else:
                    self._flushed.add(os.stat(path).st_ino)
            self._own.busy = False

    def _flush_folder(self, folder: str) -> dict[str, int]:
        """Notes what a folder holds, name -> inode. Its number is not given to another while this lives."""
        names = self._held(folder)
        number = os.stat(folder).st_ino
        if number not in self._folders:
            self._folders[number] = os.open(folder, os.O_RDONLY)
        self._names[number] = names
        return names

    def _held(self, folder: str) -> dict[str, int]:
        """Name -> inode of what a folder holds now; all of it is kept from vanishing."""
        names = {}
        for entry in os.scandir(folder):
            # Other threads go on: an unfinished file may get its name meanwhile.
            with contextlib.suppress(FileNotFoundError):
                number = entry.inode()
                if entry.is_dir():
                    if number not in self._folders:
                        self._folders[number] = os.open(entry.path, os.O_RDONLY)
                else:
                    with contextlib.suppress(FileExistsError):
                        os.link(entry.path, os.path.join(self._kept, str(number)))
                names[entry.name] = number
        return names

    def _cut(self, name: str, path: str) -> NoReturn:
        self.lose_power()
        die(name, path)

    def lose_power(self) -> None:
        """Puts in place of the folder what is left of it; nothing more is noted."""
        self._own.busy = True
        left = os.path.join(self._kept, "left")
        number = os.stat(self._folder).st_ino
        self._folders.setdefault(number, os.open(self._folder, os.O_RDONLY))
        self._leave(left, number)
        os.rename(self._folder, os.path.join(self._kept, "before"))
        os.rename(left, self._folder)

    def _leave(self, folder: str, number: int) -> None:
        """Makes a folder of what is left of the one with this inode."""
        os.mkdir(folder)
        for name, held in self._left_names(number).items():
            place = os.path.join(folder, name)
            if held in self._folders:
                self._leave(place, held)
                continue
            os.link(os.path.join(self._kept, str(held)), place)
            if held not in self._flushed:
                os.truncate(place, os.path.getsize(place) // 2)
                self._flushed.add(held)

    def _left_names(self, number: int) -> dict[str, int]:
        safe = self._names.get(number, {})
        if self._dice is None:
            return safe
        now = self._held(f"/proc/self/fd/{self._folders[number]}")
        either = {name: self._dice.choice((safe, now)).get(name) for name in sorted(safe | now)}
        return {name: held for name, held in either.items() if held is not None}


def after_a_power_cut(
    folder: Path, action: Callable[[], object], some: int | None = None
) -> dict[str, bytes]:
    """What an action leaves in a folder if the power goes right after it: path of each file -> content.

    Args:
        folder: what is left is there, too.
        action: writes into it.
        some: the seed of a cut that loses only some of what was not flushed; None loses all.
    """
    points = PowerCut(folder, None, some)
    with watched(points):
        action()
    points.lose_power()
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


_watching: FaultPoints | None = None


@contextlib.contextmanager
def watched(points: FaultPoints) -> Iterator[FaultPoints]:
    """Counts in `points` while the block runs."""
    global _watching
    _hook_once()
    _watching = points
    try:
        yield points
    finally:
        _watching = None


@functools.cache
def _hook_once() -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _watching is None or event not in ANNOUNCED:
            return
        if isinstance(
            arguments[0], str | bytes | os.PathLike
        ):  # else a descriptor, announced when it was opened
            _watching.announce(event.removeprefix("os."), os.fsdecode(arguments[0]))

    def wrap(name: str) -> None:
        original = getattr(os, name)

        @functools.wraps(original)
        def announced(descriptor: int, *arguments: Any) -> Any:
            if _watching is not None:
                _watching.announce(name, os.readlink(f"/proc/self/fd/{descriptor}"))
            return original(descriptor, *arguments)

        setattr(os, name, announced)

    sys.addaudithook(hook)
    for name in WRAPPED:
        wrap(name)


def die(name: str, path: str) -> NoReturn:
    """What a power cut or the kernel's memory killer does: nothing of the program runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def disk_full(name: str, path: str) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def no_permission(name: str, path: str) -> NoReturn:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def unreadable(name: str, path: str) -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
