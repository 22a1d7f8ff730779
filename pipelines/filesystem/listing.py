"""A file as its file system lists it, and by what name unfinished ones are known."""

from __future__ import annotations

import os
from dataclasses import dataclass

TEMPORARY = ".tmp-"
"""Every unfinished file carries this in its name, which begins with a dot; no reader lists such a file."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file as its file system lists it.

    Attributes:
        path: as it can be opened.
        size: bytes.
        modified: what the file system knows of the last change, as text: nanoseconds since 1970 for a local
            file, seconds for a remote one.
        problem: why it is not to be opened; empty if nothing speaks against it.
    """

    path: str
    size: int
    modified: str
    problem: str = ""


def is_temporary(path: str) -> bool:
    """Whether a file is called as unfinished ones are."""
    name = os.path.basename(path)
    return name.startswith(".") and TEMPORARY in name


def info_of(path: str, stat: os.stat_result) -> FileInfo:
    """A local file as it is listed, from what its file system tells of it."""
    return FileInfo(path, stat.st_size, str(stat.st_mtime_ns))
