"""Where a path leads: to this machine, or to an object store."""

from __future__ import annotations

import os
import re

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(path: str) -> bool:
    """Whether `path` is a URL of something that is not this machine."""
    return bool(_SCHEME.match(path)) and not path.startswith("file://")


def local(path: str) -> str:
    """A local path as the system takes it."""
    return path.removeprefix("file://")


def join(folder: str, *names: str) -> str:
    """Joins path parts; a URL keeps forward slashes."""
    return (
        "/".join([folder.rstrip("/"), *names]) if is_remote(folder) else os.path.join(local(folder), *names)
    )


def split(url: str) -> tuple[str, str]:
    """The bucket's URL, and the name in the bucket, which may be empty.

    >>> split("s3://bucket/a/b"), split("s3://bucket/"), split("s3://bucket")
    (('s3://bucket', 'a/b'), ('s3://bucket', ''), ('s3://bucket', ''))
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key
