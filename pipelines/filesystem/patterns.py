"""What paths, globs and brace lists name, on this machine or on object stores."""

from __future__ import annotations

import glob as local_glob
import os
from collections.abc import Iterator, Sequence

from lookalike.model.errors import LookalikeError

from .braces import expand_braces
from .listing import FileInfo, info_of, is_temporary
from .named_objects import WILDCARD, Found, Listings
from .urls import is_remote, local


def look_many(paths: Sequence[str]) -> Iterator[Found]:
    """What each of many paths names, in order; of object stores, where many lie in one folder, by listing that.

    Of a local path, and of a pattern, only whether it is a folder is told.

    Raises:
        OSError: if a file system fails.
    """
    plain = Listings().look([path for path in paths if is_remote(path) and not WILDCARD.search(path)])
    for path in paths:
        if is_remote(path):
            yield Found(path, None, False) if WILDCARD.search(path) else next(plain)
        else:
            yield Found(path, None, os.path.isdir(local(path)))


def glob(pattern: str) -> list[FileInfo]:
    """The files that a path, glob or brace list names, each once, in order of their paths.

    Raises:
        LookalikeError: if a part of the pattern matches no file, naming it.
    """
    found: dict[str, FileInfo] = {}
    listings = Listings()
    parts = expand_braces(pattern)
    plain = listings.look([part for part in parts if is_remote(part) and not WILDCARD.search(part)])
    for part in parts:
        files = [f for f in _named(part, listings, plain) if not is_temporary(f.path)]
        if not files:
            raise LookalikeError(
                f"No file matches. Expected a path, a glob or a brace list. Received: {part}"
            )
        found.update((f.path, f) for f in files)
    return sorted(found.values(), key=lambda f: f.path)


def _named(part: str, listings: Listings, plain: Iterator[Found]) -> list[FileInfo]:
    if is_remote(part):
        if WILDCARD.search(part):
            return listings.glob(part)
        file = next(plain).file
        return [file] if file else []
    path = local(part)
    wild = WILDCARD.search(part) and not os.path.exists(path)
    paths = local_glob.glob(path, recursive=True) if wild else [path]
    return [info_of(path, os.stat(path)) for path in paths if os.path.isfile(path)]
