"""Files, local or on an object store: read whole, listed in order, and never half-written.

A path with a scheme is one of an object store (see `stores.SCHEMES`); every other path is local.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, BinaryIO, TypeVar, cast

from lookalike.model.digests import sha256_stream
from lookalike.model.errors import LookalikeError

from . import local, named_objects, objects
from .braces import expand_braces
from .listing import TEMPORARY, FileInfo, info_of, is_temporary
from .local import make_folder, sync
from .named_objects import WILDCARD, Found
from .naming import LocalFile, temporary_file
from .object_reader import ObjectReader
from .objects import Version
from .patterns import glob, look_many
from .urls import is_remote, join
from .urls import local as _local

__all__ = [
    "TEMPORARY",
    "FileInfo",
    "Found",
    "Version",
    "expand_braces",
    "glob",
    "info_of",
    "is_remote",
    "is_temporary",
    "join",
    "look_many",
    "make_folder",
    "sync",
]
T = TypeVar("T")
_AT_ONCE = 32
"""Objects that `read_many` asks for at the same time: each takes a request's time, whatever it holds."""


def open_read(path: str) -> BinaryIO:
    """Opens a file to be read as it is, without guessing a compression from its name.

    Raises:
        OSError: if it cannot be opened. An object of a store is opened by the first read, which tells.
    """
    return (
        cast(BinaryIO, ObjectReader(path)) if is_remote(path) else io.BufferedReader(LocalFile(_local(path)))
    )


def look_at(path: str, opened: BinaryIO) -> FileInfo:
    """A file that `open_read` has opened, as it is listed. Raises OSError."""
    return opened.info() if isinstance(opened, ObjectReader) else info_of(path, os.fstat(opened.fileno()))


def read_bytes(path: str) -> bytes:
    """The whole file, as it was at one moment. Raises OSError."""
    if is_remote(path):
        return objects.read(path)
    with open_read(path) as file:
        return file.read()


def read_many(paths: Iterable[str]) -> Iterator[bytes]:
    """The whole of each of many small files, in order; those of object stores are asked for some at a time.

    Raises:
        OSError: when the turn comes of one that cannot be read.
    """
    return each_read(paths, read_bytes, _AT_ONCE)


def each_read(paths: Iterable[str], read: Callable[[str], T], at_once: int) -> Iterator[T]:
    """What `read` makes of each of many files, in order; objects of stores are read some at a time.

    Args:
        paths: of the files.
        read: reads one; what it raises is raised when its turn comes.
        at_once: objects that are read at the same time; as many more may wait.
    """
    waiting: collections.deque[Future[T]] = collections.deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for path in paths:
                if not is_remote(path):
                    while waiting:
                        yield waiting.popleft().result()
                    yield read(path)
                    continue
                waiting.append(pool.submit(read, path))
                if len(waiting) == 2 * at_once:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def write_atomic(path: str, *, lasting: bool = True) -> Iterator[IO[bytes]]:
    """Opens `path` for writing; it appears under its name only when the block ends without an error.

    A local file is written beside its place, flushed to the disk and renamed. A remote one is written on this
    machine and then uploaded; it becomes visible when that is completed, which object stores do in one step.

    Args:
        path: of the file.
        lasting: whether a local one shall survive a power cut. Files of a run need not: the next deletes them unread.
    """
    if not is_remote(path):
        with local.write_atomic(_local(path), lasting=lasting) as file:
            yield file
        return
    with temporary_file() as temporary:
        yield temporary
        temporary.seek(0)
        objects.upload(temporary, path)


def move_in(temporary: str, path: str) -> None:
    """Gives a finished local file its final name; for a URL, uploads it and deletes the local one."""
    if not is_remote(path):
        local.move_in(temporary, _local(path))
        return
    with open(temporary, "rb") as source:
        objects.upload(source, path)
    os.unlink(temporary)


@contextlib.contextmanager
def write_folder(folder: str, last: str, is_there: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Gives an empty local folder to write files into; it gets its place when the block ends without an error.

    Args:
        folder: where it belongs; see `move_folder_in`.
        last: name of the file without which the folder does not count.
        is_there: asked at the end: whether another process was faster, whose folder then stays.
    """
    parent, name = os.path.split(_local(folder))
    if not is_remote(folder):
        make_folder(parent)
    temporary = tempfile.mkdtemp(prefix=f".{name}{TEMPORARY}", dir=None if is_remote(folder) else parent)
    try:
        yield temporary
        if not is_there():
            move_folder_in(temporary, folder, last)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_folder_in(temporary: str, folder: str, last: str) -> None:
    """Gives a finished local folder its final place; for a URL, uploads its files.

    Args:
        temporary: local folder of files; for a local target on the same disk.
        folder: where it belongs. What an interrupted run left there is replaced.
        last: name of the file without which the folder does not count; uploaded after all others.
    """
    if is_remote(folder):
        delete([folder])
        for name in sorted(os.listdir(temporary), key=lambda name: (name == last, name)):
            move_in(os.path.join(temporary, name), join(folder, name))
        return
    local.move_folder_in(temporary, _local(folder))


def write_bytes(path: str, data: bytes, *, lasting: bool = True) -> None:
    """Writes a whole file atomically; `lasting` as of `write_atomic`. Raises OSError."""
    if is_remote(path):
        objects.write(path, data)
        return
    with write_atomic(path, lasting=lasting) as file:
        file.write(data)


def create_bytes(path: str, data: bytes) -> bool:
    """Writes an object of a store unless one is there; whether it did.

    Raises:
        LookalikeError: if the store cannot do that in one step.
        OSError: if it fails otherwise; the object may have been written all the same.
    """
    return objects.create(path, data)


def read_version(path: str) -> tuple[bytes, Version]:
    """The whole object of a store, and which it was, for `replace_bytes`. Raises OSError."""
    return objects.read_version(path)


def replace_bytes(path: str, data: bytes, version: Version) -> bool:
    """Writes an object of a store if it still is what was read; whether it did. Raises as `create_bytes`."""
    return objects.replace(path, data, version)


class _SameBytesError(Exception):
    """What is to be written is there already."""


def write_if_changed(path: str, write: Callable[[IO[bytes]], object]) -> bool:
    """Writes a file atomically, but leaves one that holds the same bytes, and its time of change, as it is.

    Args:
        path: of the file.
        write: writes the content.

    Returns:
        Whether there is new content.

    Raises:
        OSError: if it cannot be written, or what is there cannot be read.
    """
    try:
        with write_atomic(path) as file:
            write(file)
            if exists(path) and _same_bytes(file, path):
                raise _SameBytesError
    except _SameBytesError:
        return False
    return True


def _same_bytes(written: IO[bytes], path: str) -> bool:
    written.seek(0)
    with open_read(path) as there:
        while (piece := written.read(1 << 20)) == there.read(1 << 20):
            if not piece:
                return True
    return False


def exists(path: str) -> bool:
    """Whether a file is there, or a local folder."""
    return objects.exists(path) if is_remote(path) else os.path.exists(_local(path))


def look(path: str) -> FileInfo:
    """One file as it would be listed now.

    Raises:
        FileNotFoundError: if it is not there.
        OSError: if its file system fails otherwise.
    """
    return objects.look(path) if is_remote(path) else info_of(path, os.stat(_local(path)))


def is_folder(path: str) -> bool:
    """Whether `path` is a local folder, or a URL under which files lie."""
    if not is_remote(path):
        return os.path.isdir(_local(path))
    return not WILDCARD.search(path) and objects.is_folder(path)


def list_files(folder: str) -> list[FileInfo]:
    """All files below `folder`, sorted by path; unfinished (temporary) ones are left out.

    Returns:
        An empty list for a folder that does not exist.
    """
    return sorted(each_file(folder), key=lambda file: file.path)


def each_file(folder: str) -> Iterator[FileInfo]:
    """As `list_files`, one file after the other in no order, and without a list of them all."""
    found = objects.below(folder) if is_remote(folder) else local.walk(_local(folder))
    return (file for file in found if not is_temporary(file.path))


def entries(folder: str) -> set[str]:
    """Names of the files and folders right below a folder, unfinished ones too; none if it is not there."""
    if not is_remote(folder):
        return set(os.listdir(_local(folder))) if os.path.isdir(_local(folder)) else set()
    start = folder.rstrip("/").count("/") + 1
    return {file.path.split("/")[start] for file in list_files(folder)}


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file that is there; of URLs, whether they are the same."""
    if is_remote(one) or is_remote(other):
        return one == other
    with contextlib.suppress(OSError):
        return os.path.samefile(_local(one), _local(other))
    return False


def lies_in(path: str, folder: str) -> bool:
    """Whether a file is there and lies in a folder or below, whatever links lead to them. Raises OSError."""
    if is_remote(path) or is_remote(folder):
        return path.startswith(folder.rstrip("/") + "/") and exists(path)
    local_path, local_folder = map(os.path.realpath, (_local(path), _local(folder)))
    return local_path.startswith(os.path.join(local_folder, "")) and exists(path)


def reason(error: OSError) -> str:
    """One sentence for what a file system reports, such as `No space left on device: out/results.parquet`."""
    text = error.strerror or str(error)
    if error.errno and "[errno " in text:  # Arrow wraps it in words of its own
        text = os.strerror(error.errno)
    return f"{text}: {error.filename}" if error.filename else text


def delete(paths: Iterable[str]) -> None:
    """Deletes files and whole folders; what is gone already is no error.

    On a store each is listed, or where many lie in one folder, that.
    """
    _delete(paths, named_objects.delete)


def delete_dead(path: str) -> None:
    """Deletes what runs that were killed left of a local file or folder, a day later; in a bucket nothing is left."""
    if not is_remote(path):
        local.delete_dead(_local(path))


def delete_files(paths: Iterable[str]) -> None:
    """Deletes files, on a store up to 1,000 a request; what is gone already is no error."""
    _delete(paths, objects.delete)


def _delete(paths: Iterable[str], delete_objects: Callable[[list[str]], None]) -> None:
    remote = []
    for path in paths:
        if is_remote(path):
            remote.append(path)
        else:
            local.delete(_local(path))
    delete_objects(remote)


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def check_digest(path: str, data: bytes, expected: str) -> None:
    """Raises LookalikeError, naming the file, if its content is not what its digest says."""
    found = sha256_bytes(data)
    if found != expected:
        raise LookalikeError(f"The file is damaged: {path} should have SHA-256 {expected}. Received: {found}")


def sha256(path: str) -> str:
    """The SHA-256 of a file that may be remote, in hexadecimal. Raises OSError."""
    with open_read(path) as file:
        return sha256_stream(file)
