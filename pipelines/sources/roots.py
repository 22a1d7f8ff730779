"""Paths relative to the folder that a corpus lies in, however it is written and wherever it lies."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..filesystem import files

_WILDCARD_OR_BRACE = re.compile(r"[*?\[{]")


def absolute(path: str) -> str:
    """A local path without `.`, `..`, `file://` and needless slashes; links stay. Of a URL, only a last slash goes."""
    if files.is_remote(path):
        return path.rstrip("/")
    return "/" + os.path.abspath(path.removeprefix("file://")).replace(os.sep, "/").lstrip("/")


def fixed_part(pattern: str) -> str:
    """The folder before the first wildcard or brace of a pattern; the folder of a file.

    >>> fixed_part("/data/{a,b}/*.tar")
    '/data'
    """
    pattern = pattern.removeprefix("file://")
    if files.is_remote(pattern) or not os.path.exists(pattern):
        pattern = _WILDCARD_OR_BRACE.split(pattern, maxsplit=1)[0]
    folder, slash, _ = pattern.rpartition("/")
    return absolute(folder or slash or ".")


def common_root(roots: Iterable[str]) -> str:
    """The deepest folder that holds all of these; an empty text if there is none but the root of the file system.

    Args:
        roots: absolute folders and URLs of folders.

    >>> common_root(["/data/new/a", "/data/new", "/data/never"]), common_root(["s3://x/a", "s3://x/b"])
    ('/data', 's3://x')
    >>> common_root(["/data/a", "/mnt/b"]), common_root(["s3://x/a", "s3://y/a"]), common_root(["s3://x", "/x"])
    ('', '', '')
    """
    common: list[str] = []
    split = [root.split("/") for root in roots]
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    # What stands before the bucket, or the host, is no place.
    return "/".join(common) if len(common) > 2 or not split[0][0] else ""


def relative_path(root: str, path: str) -> str:
    """The path below `root`, with forward slashes."""
    below = path[len(root.rstrip("/")) :]
    return (below if files.is_remote(path) else below.replace(os.sep, "/")).lstrip("/")
