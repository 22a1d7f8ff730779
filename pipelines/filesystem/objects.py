"""Objects of stores: read, listed, written in one step, deleted in few requests."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from obstore import exceptions

from lookalike.model.errors import LookalikeError

from .listing import FileInfo
from .store_errors import NO_BUCKET, NO_CONDITIONS, named
from .stores import open_store
from .urls import split

PART_BYTES = 8 << 20
"""What is larger is sent in such parts, four at a time."""
_PARTS = 9_000
"""S3 takes up to 10,000 of an object."""
_ATTEMPTS = 3
Version = Mapping[str, Any]
"""Tells the content of an object from any other that it had or will have."""


def _open(url: str, uploads: bool = False) -> tuple[Any, str]:
    """The store and the name in it of an object, which no bucket is."""
    with named(url):
        store, key = open_store(url, uploads)
    if not key:
        raise LookalikeError(f"Expected the URL of an object. Received that of a bucket: {url}")
    return store, key


def read(url: str) -> bytes:
    """The whole object, as it was at one moment. Raises OSError."""
    return read_version(url)[0]


def read_version(url: str) -> tuple[bytes, Version]:
    """The whole object, and which it was. Raises OSError."""
    store, key = _open(url)
    for _ in range(_ATTEMPTS):
        try:
            with named(url):
                found = store.get(key)
                version = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]}
                return bytes(found.bytes()), version
        except OSError as error:
            # The connection broke, and when it was there again the object was another.
            if error.errno != errno.ESTALE:
                raise
            changed = error
    raise changed


def look(url: str) -> FileInfo:
    """One object as it would be listed now. Raises FileNotFoundError, OSError."""
    store, key = _open(url)
    with named(url):
        return info_of(url, store.head(key))


def exists(url: str) -> bool:
    """Whether an object is there; a folder is none."""
    try:
        look(url)
    except FileNotFoundError:
        return False
    return True


def is_folder(url: str) -> bool:
    """Whether objects lie below a URL."""
    return next(below(url), None) is not None


def below(folder: str) -> Iterator[FileInfo]:
    """All objects below a folder or in a bucket; 1,000 a request."""
    bucket, key = split(folder.rstrip("/"))
    # Some tools mean a folder by an empty object `NAME/`, which is listed without its slash before what is in it.
    marker = None
    with named(folder):
        store, _ = open_store(folder)
        for found in itertools.chain.from_iterable(store.list(key or None, chunk_size=1000)):
            if marker and not found["path"].startswith(f"{marker['path']}/"):
                yield info_of(f"{bucket}/{marker['path']}", marker)
            marker = None if found["size"] else found
            if found["size"]:
                yield info_of(f"{bucket}/{found['path']}", found)
    if marker and marker["path"] != key:
        yield info_of(f"{bucket}/{marker['path']}", marker)


@dataclass(frozen=True)
class Level:
    """What lies in a folder itself.

    Attributes:
        files: URL -> object.
        folders: URLs, without a last slash.
    """

    files: Mapping[str, FileInfo]
    folders: frozenset[str]


def level(folder: str) -> Level:
    """What lies in a folder or a bucket itself, by 1,000 a request."""
    bucket, key = split(folder.rstrip("/"))
    with named(folder):
        store, _ = open_store(folder)
        found = store.list_with_delimiter(key or None)
    urls = {f"{bucket}/{one['path']}": one for one in found["objects"] if one["path"] != key}
    return Level(
        {url: info_of(url, one) for url, one in urls.items()},
        frozenset(f"{bucket}/{prefix.rstrip('/')}" for prefix in found["common_prefixes"]),
    )


def info_of(url: str, found: Any) -> FileInfo:
    """An object as it is listed, from what obstore tells of it."""
    return FileInfo(url, found["size"], str(found["last_modified"].timestamp()))


def upload(source: IO[bytes], url: str) -> None:
    """Sends a local file from where it stands; the object appears when all is there, or not at all. Raises OSError."""
    store, key = _open(url, uploads=True)
    size = os.fstat(source.fileno()).st_size - source.tell()
    with named(url):
        store.put(key, source, chunk_size=max(PART_BYTES, size // _PARTS), max_concurrency=4)


def write(url: str, data: bytes) -> None:
    """Writes an object in one step. Raises OSError."""
    store, key = _open(url, uploads=True)
    with named(url):
        store.put(key, data, chunk_size=PART_BYTES, max_concurrency=4)


def create(url: str, data: bytes) -> bool:
    """Writes an object unless one is there; whether it did.

    Raises:
        LookalikeError: if the store has no such thing.
        OSError: if it fails otherwise. It may have been written all the same.
    """
    return _put_if(url, data, "create")


def replace(url: str, data: bytes, version: Version) -> bool:
    """Writes an object if it is what was read; whether it did. Raises as `create`."""
    return _put_if(url, data, version)


def _put_if(url: str, data: bytes, mode: str | Version) -> bool:
    store, key = _open(url)
    with named(url):
        try:
            store.put(key, data, mode=mode)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError, FileNotFoundError) as error:
            if NO_BUCKET.search(str(error)):
                raise FileNotFoundError(str(error)) from None
            return False
        except exceptions.BaseError as error:
            if isinstance(error, exceptions.NotSupportedError) or any(w in str(error) for w in NO_CONDITIONS):
                raise LookalikeError(
                    f"Expected an object store that writes an object only if it is absent or unchanged (If-None-Match "
                    f"and If-Match), which a lock needs. Received one that does not: {url}"
                ) from None
            raise
    return True


def delete(keys: Mapping[str, Iterable[str]], maybe: Mapping[str, Iterable[str]]) -> None:
    """Deletes objects, as many a request as the store takes.

    Args:
        keys: bucket's URL -> names of objects.
        maybe: the same of what need not be there.

    Raises:
        OSError: if it fails.
    """
    for bucket in {**keys, **maybe}:
        there, perhaps = list(keys.get(bucket, ())), list(maybe.get(bucket, ()))
        with named(bucket):
            store, _ = open_store(bucket)
            if bucket.lower().startswith("s3:"):  # which does not mind
                there, perhaps = there + perhaps, []
            if there:
                store.delete(there)
            for key in perhaps:
                with contextlib.suppress(FileNotFoundError):
                    store.delete(key)
