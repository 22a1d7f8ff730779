"""Objects of stores: read, listed, written in one step, deleted in few requests."""

from __future__ import annotations

import contextlib
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


def open_object(url: str, uploads: bool = False) -> tuple[Any, str]:
    """The store and the name in it of an object, which no bucket is. Raises as `open_store`."""
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
    store, key = open_object(url)
    with named(url):
        for attempt in range(1, _ATTEMPTS + 1):
            found = store.get(key)
            version = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]}
            try:
                return bytes(found.bytes()), version
            except exceptions.BaseError:
                # The connection broke, and obstore could not go on: the object may be another by now.
                if attempt == _ATTEMPTS:
                    raise
    raise AssertionError("unreachable")


def look(url: str) -> FileInfo:
    """One object as it would be listed now. Raises FileNotFoundError, OSError."""
    store, key = open_object(url)
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
    """An object as it is listed, from what obstore tells of it: some stores list fractions of a second, none tells them
    of one object alone."""
    return FileInfo(url, found["size"], f"{int(found['last_modified'].timestamp())}.0")


def upload(source: IO[bytes], url: str) -> None:
    """Sends a local file from where it stands; the object appears when all is there, or not at all. Raises OSError."""
    store, key = open_object(url, uploads=True)
    size = os.fstat(source.fileno()).st_size - source.tell()
    with named(url):
        store.put(key, source, chunk_size=max(PART_BYTES, size // _PARTS), max_concurrency=4)


def write(url: str, data: bytes) -> None:
    """Writes an object in one step. Raises OSError."""
    store, key = open_object(url, uploads=True)
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
    store, key = open_object(url)
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


def delete(urls: Iterable[str]) -> None:
    """Deletes objects, as many a request as the store takes; what is gone already is no error. Raises OSError."""
    by_bucket: dict[str, list[str]] = {}
    for url in urls:
        bucket, key = split(url.rstrip("/"))
        by_bucket.setdefault(bucket, []).append(key)
    for bucket, keys in by_bucket.items():
        with named(bucket):
            store, _ = open_store(bucket)
            try:
                store.delete(keys)
            except FileNotFoundError:  # Google's and Azure's stop there
                for key in keys:
                    with contextlib.suppress(FileNotFoundError):
                        store.delete(key)
