"""Files, local or on any of Beam's file systems: read whole, listed in order, and never half-written.

A path with a scheme (`s3://`, `gs://`, `hdfs://`) goes through Beam's file systems. Every other path is local
and handled here, so that a run that finds nothing to do need not import Beam.
"""

from __future__ import annotations

import contextlib
import errno
import glob as local_glob
import hashlib
import io
import itertools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from lookalike.model.digests import sha256_stream
from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing, one_at_a_time

from .naming import LocalFile, naming

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_WILDCARD = re.compile(r"[*?\[]")
TEMPORARY = ".tmp-"
"""Every unfinished file carries this in its name, which begins with a dot; no reader lists such a file."""
_ATTEMPTS = 3


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


def is_remote(path: str) -> bool:
    """Whether `path` is a URL for one of Beam's file systems."""
    return bool(_SCHEME.match(path)) and not path.startswith("file://")


def _local(path: str) -> str:
    return path.removeprefix("file://")


def _beam() -> Any:
    with importing("Beam"):
        from apache_beam.io.filesystems import FileSystems
        from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:  # outside of a pipeline
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems


@contextlib.contextmanager
def _remote(path: str) -> Iterator[Any]:
    """Gives Beam's file systems; what they raise in the block becomes an OSError that names `path`.

    Raises:
        LookalikeError: if the file system is not known or not installed, or the path none of its own.
    """
    with importing("Beam"):
        from apache_beam.io.filesystem import BeamIOError

    if path.startswith("s3://"):
        try:
            with one_at_a_time:
                from . import s3
        except ImportError as error:
            raise LookalikeError(
                f"{path}: s3:// needs a package that is not installed: pip install lookalike[s3] ({error})"
            ) from None
        s3.prepare()
    try:
        yield _beam()
    except BeamIOError as error:
        cause: Exception = error
        while isinstance(cause, BeamIOError) and cause.exception_details:
            cause = next(iter(cause.exception_details.values()))
        text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
        raise OSError(errno.EIO, " ".join(text.split()), path) from error
    except OSError as error:
        if not error.errno:  # of the library that asks the network
            raise OSError(errno.EIO, " ".join(str(error).split()), path) from error
        if path not in str(error):
            error.filename = path
        raise
    except ValueError as error:
        raise LookalikeError(str(error) if path in str(error) else f"{path}: {error}") from None
    except LookalikeError:
        raise
    except Exception as error:  # each file system has exceptions of its own, such as for want of credentials
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise OSError(errno.EIO, text, path) from error


class _RemoteFile(io.RawIOBase):
    """A remote file that is read; whatever its file system raises becomes an OSError that names it."""

    def __init__(self, file: Any, path: str) -> None:
        self._file, self._path = file, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _remote(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _remote(self._path):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def join(folder: str, *names: str) -> str:
    """Joins path parts; a URL keeps forward slashes."""
    return (
        "/".join([folder.rstrip("/"), *names]) if is_remote(folder) else os.path.join(_local(folder), *names)
    )


def open_read(path: str) -> BinaryIO:
    """Opens a file to be read as it is, without guessing a compression from its name.

    Raises:
        OSError: if it cannot be opened (also for what a remote file system reports).
    """
    if not is_remote(path):
        return io.BufferedReader(LocalFile(_local(path)))
    with importing("Beam"):
        from apache_beam.io.filesystem import CompressionTypes

    with _remote(path) as beam:
        file = beam.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    # What S3 says names the file already (see `s3`).
    return cast(
        BinaryIO, file if path.startswith("s3://") else io.BufferedReader(_RemoteFile(file, path), 1 << 20)
    )


def read_bytes(path: str) -> bytes:
    """The whole file, as it was at one moment. Raises OSError."""
    for _ in range(_ATTEMPTS):
        try:
            with open_read(path) as file:
                return file.read()
        except OSError as error:
            # An object was replaced between asking for its size and for its content.
            if error.errno != errno.ESTALE:
                raise
            changed = error
    raise changed


@contextlib.contextmanager
def write_atomic(path: str) -> Iterator[IO[bytes]]:
    """Opens `path` for writing; it appears under its name only when the block ends without an error.

    A local file is written beside its place, flushed to the disk and renamed. A remote one is written on this
    machine and then uploaded; it becomes visible when that is completed, which object stores do in one step.
    """
    if is_remote(path):
        with tempfile.TemporaryFile() as local:
            yield local
            local.seek(0)
            _upload(local, path)
        return
    path = _local(path)
    folder = os.path.dirname(path) or "."
    make_folder(folder)
    # Not by the process's number: in two containers it is the same one.
    temporary = os.path.join(folder, f".{os.path.basename(path)}{TEMPORARY}{secrets.token_hex(8)}")
    try:
        with io.BufferedRandom(LocalFile(temporary, "x+")) as file:
            yield file
            file.flush()
            with naming(temporary):
                os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _upload(source: IO[bytes], path: str) -> None:
    with _remote(path) as beam:
        upload = beam.create(path)
        try:
            shutil.copyfileobj(source, upload, 1 << 20)
            upload.close()
        except BaseException:
            _give_up(upload)
            raise


def _give_up(upload: Any) -> None:
    """Closes an upload unfinished: Python would close it when it is forgotten, and so complete what is there so far."""
    if raw := getattr(upload, "raw", None):
        io.RawIOBase.close(raw)
    elif buffer := getattr(
        upload, "_buffer", None
    ):  # of Google's BlobWriter, which is no wrapper of another file
        buffer.close()


def move_in(temporary: str, path: str) -> None:
    """Gives a finished local file its final name; for a URL, uploads it and deletes the local one."""
    if is_remote(path):
        with open(temporary, "rb") as source:
            _upload(source, path)
        os.unlink(temporary)
        return
    sync(temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, _local(path))
    sync(os.path.dirname(_local(path)) or ".")


@contextlib.contextmanager
def write_folder(folder: str, last: str) -> Iterator[str]:
    """Gives an empty local folder to write files into; it gets its place when the block ends without an error.

    Args:
        folder: where it belongs; see `move_folder_in`.
        last: name of the file without which the folder does not count.
    """
    parent, name = os.path.split(_local(folder))
    if not is_remote(folder):
        make_folder(parent)
    temporary = tempfile.mkdtemp(prefix=f".{name}{TEMPORARY}", dir=None if is_remote(folder) else parent)
    try:
        yield temporary
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
    os.chmod(temporary, 0o755)
    delete([folder])
    os.rename(temporary, _local(folder))
    sync(os.path.dirname(_local(folder)))


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


def write_bytes(path: str, data: bytes) -> None:
    """Writes a whole file atomically. Raises OSError."""
    with write_atomic(path) as file:
        file.write(data)


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
    """Whether a file or folder is there."""
    if not is_remote(path):
        return os.path.exists(_local(path))
    with _remote(path) as beam:
        return bool(beam.exists(path))


def look(path: str) -> FileInfo:
    """One file as it would be listed now.

    Raises:
        FileNotFoundError: if it is not there.
        OSError: if its file system fails otherwise.
    """
    if not is_remote(path):
        return info_of(path, os.stat(_local(path)))
    with _remote(path) as beam:
        try:
            found = beam.get_filesystem(path).metadata(path)
        except Exception:
            if beam.exists(path):
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    return _remote_info(found)


def is_folder(path: str) -> bool:
    """Whether `path` is a local folder, or a URL under which files lie."""
    if not is_remote(path):
        return os.path.isdir(_local(path))
    return not _WILDCARD.search(path) and bool(_match(path.rstrip("/") + "/**", 1))


def list_files(folder: str) -> list[FileInfo]:
    """All files below `folder`, sorted by path; unfinished (temporary) ones are left out.

    Returns:
        An empty list for a folder that does not exist.
    """
    if is_remote(folder):
        found: Iterable[FileInfo] = _match(folder.rstrip("/") + "/**")
    else:
        found = _walk(_local(folder))
    return sorted((f for f in found if not is_temporary(f.path)), key=lambda f: f.path)


def each_file(folder: str) -> Iterator[FileInfo]:
    """As `list_files`, one file after the other, sorted by path within its folder, and without a list of them all."""
    if is_remote(folder):
        yield from list_files(folder)
        return
    yield from (file for file in _walk(_local(folder)) if not is_temporary(file.path))


def _walk(folder: str) -> Iterator[FileInfo]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path)
            continue
        with contextlib.suppress(FileNotFoundError):  # an unfinished file that got its name meanwhile
            if entry.is_file():
                yield info_of(entry.path, entry.stat())


def info_of(path: str, stat: os.stat_result) -> FileInfo:
    """A local file as it is listed, from what its file system tells of it."""
    return FileInfo(path, stat.st_size, str(stat.st_mtime_ns))


def _match(pattern: str, limit: int | None = None) -> list[FileInfo]:
    with _remote(pattern) as beam:
        found = beam.match([pattern], [limit])[0].metadata_list
    return [_remote_info(metadata) for metadata in found]


def _remote_info(metadata: Any) -> FileInfo:
    return FileInfo(metadata.path, metadata.size_in_bytes, str(metadata.last_updated_in_seconds))


def expand_braces(pattern: str) -> list[str]:
    """`a{1,3}` and `{008..010}` written out, as a shell does, keeping leading zeros.

    >>> expand_braces("x-{008..010}.tar")
    ['x-008.tar', 'x-009.tar', 'x-010.tar']
    """
    match = _BRACES.search(pattern)
    if not match:
        return [pattern]
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if ends:
        first, last = int(ends[1]), int(ends[2])
        width = len(ends[1]) if ends[1].startswith("0") else 0
        step = 1 if last >= first else -1
        choices = [str(i).zfill(width) for i in range(first, last + step, step)]
    else:
        choices = match[1].split(",")
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return list(itertools.chain.from_iterable(expand_braces(head + choice + tail) for choice in choices))


def glob(pattern: str) -> list[FileInfo]:
    """The files that a path, glob or brace list names, each once, in order of their paths.

    Raises:
        LookalikeError: if a part of the pattern matches no file, naming it.
    """
    found: dict[str, FileInfo] = {}
    for part in expand_braces(pattern):
        if is_remote(part):
            files = _match(part)
        elif _WILDCARD.search(part) and not os.path.exists(_local(part)):
            paths = local_glob.glob(_local(part), recursive=True)
            files = [info_of(p, os.stat(p)) for p in paths if os.path.isfile(p)]
        else:
            files = [info_of(_local(part), os.stat(_local(part)))] if os.path.isfile(_local(part)) else []
        files = [f for f in files if not is_temporary(f.path)]
        if not files:
            raise LookalikeError(
                f"No file matches. Expected a path, a glob or a brace list. Received: {part}"
            )
        found.update((f.path, f) for f in files)
    return sorted(found.values(), key=lambda f: f.path)


def reason(error: OSError) -> str:
    """One sentence for what a file system reports, such as `No space left on device: out/results.parquet`."""
    text = error.strerror or str(error)
    if error.errno and "[errno " in text:  # Arrow wraps it in words of its own
        text = os.strerror(error.errno)
    return f"{text}: {error.filename}" if error.filename else text


def delete(paths: Iterable[str]) -> None:
    """Deletes files and whole folders; what is gone already is no error."""
    remote: list[str] = []
    for path in paths:
        if is_remote(path):
            path = path.rstrip("/")
            remote += (f.path for f in _match(f"{path}**") if f.path == path or f.path.startswith(f"{path}/"))
        elif os.path.isdir(_local(path)) and not os.path.islink(_local(path)):
            shutil.rmtree(_local(path))
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_local(path))
    if remote:
        with _remote(remote[0]) as beam:
            beam.delete(remote)


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
