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
import signal
import sys
from collections.abc import Callable, Iterator
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
    """Dies before an operation as `die` does; and what was not flushed to the disk has lost half of its bytes.

    Args:
        folder, at: as for `FaultPoints`.
    """

    def __init__(self, folder: str | os.PathLike[str], at: int | None) -> None:
        super().__init__(folder, at, self._cut)
        self._on_disk = {os.stat(path).st_ino for path in self._files() if os.path.getsize(path)}

    def announce(self, name: str, path: str) -> None:
        super().announce(name, path)
        if name == "fsync":
            self._on_disk.add(os.stat(path).st_ino)

    def _files(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._folder):
            yield from (os.path.join(folder, name) for name in names)

    def _cut(self, name: str, path: str) -> NoReturn:
        for file in self._files():
            # Other threads go on until the end.
            with contextlib.suppress(FileNotFoundError):
                if (stat := os.stat(file)).st_ino not in self._on_disk:
                    os.truncate(file, stat.st_size // 2)
        die(name, path)


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
