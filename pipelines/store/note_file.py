"""The file of all notes of an encoder, and on an object store the seal that lets a run take it at its word.

    notes/ENCODER.parquet  the notes, each with size and time of change of its own; it may be deleted at any time
    notes/ENCODER.sha256   its SHA-256 while it names the shards whose three files are there, and those only

To list the files of a million shards takes an object store 3,000 requests. Whoever is about to write some breaks the
seal first; whoever deletes some writes the file without them, which breaks it, too. When all is done the file is true
and sealed again. A run that is killed leaves it broken, and the next one lists. A version that knows no seal breaks it
by what it writes into the file. What somebody else deleted is seen when it is needed, see
`note_listing.changed_behind`, or when the store is listed next.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO

import numpy as np
import pyarrow as pa

from lookalike.model.digests import sha256_stream
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.naming import temporary_file
from .note_table import NoteTable, read_note_table, write_note_table
from .notes import note_path

logger = logging.getLogger(__name__)
_COLUMNS = {"place": pa.uint64(), "note_size": pa.int64(), "note_modified": pa.string()}
"""Beside those of the notes."""
_BROKEN = b"changing\n"


@dataclass(frozen=True, eq=False)
class NoteFile:
    """What the file of all notes holds; rows of four columns.

    Attributes:
        notes: the notes.
        places: of each what it is called, see `place_of`; uint64.
        sizes, modified: of each, as it was listed.
        sha256: of the file; None on a local disk, or where there is none.
        is_sealed: whether it can be taken at its word.
    """

    notes: NoteTable
    places: np.ndarray
    sizes: np.ndarray
    modified: pa.ChunkedArray
    sha256: str | None = None
    is_sealed: bool = False

    def rows(self, which: np.ndarray) -> pa.Table:
        """Some rows, bool for each, as `write_note_file` takes them."""
        return with_files(
            self.notes.take(np.flatnonzero(which)),
            self.places[which],
            self.sizes[which],
            self.modified.filter(pa.array(which)),
        )


def place_of(path: str) -> int:
    """64 bits of what a note is called: of a million, two are equal in one of 37 million stores."""
    return int.from_bytes(blake2b(path.rpartition("/")[2].encode(), digest_size=8).digest(), "little")


def with_files(
    notes: NoteTable, places: np.ndarray, sizes: np.ndarray, modified: pa.ChunkedArray
) -> pa.Table:
    """Notes, and what is told of their files, as one table."""
    table = notes.table
    for name, column in zip(_COLUMNS, (pa.array(places), pa.array(sizes), modified), strict=True):
        table = table.append_column(name, column)
    return table


def read_note_file(store: str, encoder: str) -> NoteFile:
    """The file of all notes; one that is damaged is as good as none. Raises OSError."""
    path = _path(store, encoder)
    try:
        with _opened(path) as (file, sha256):
            notes, more = read_note_table(file, path, _COLUMNS)
        return NoteFile(
            notes,
            more["place"].to_numpy(),
            more["note_size"].to_numpy(),
            more["note_modified"],
            sha256,
            sha256 is not None and _seal(store, encoder) == _line(sha256),
        )
    except FileNotFoundError:
        pass
    except LookalikeError as error:
        logger.warning("%s; every note is read where it lies", error)
    none = pa.chunked_array([], pa.string())
    return NoteFile(NoteTable.of(()), np.empty(0, np.uint64), np.empty(0, np.int64), none)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], str | None]]:
    """The file and, on an object store, its SHA-256: it is fetched once, and to this machine's disk."""
    with files.open_read(path) as file:
        if not files.is_remote(path):
            yield file, None
            return
        with temporary_file() as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.seek(0)
            sha256 = sha256_stream(copy)
            copy.seek(0)
            yield copy, sha256


def write_note_file(store: str, encoder: str, table: pa.Table) -> str | None:
    """Writes the file of all notes; a seal that the one before had is broken by that.

    Args:
        store: folder of the store.
        encoder: its fingerprint, or the first 16 letters of that.
        table: made by `with_files`.

    Returns:
        Its SHA-256; None on a local disk.

    Raises:
        OSError: if it cannot be written.
    """
    path = _path(store, encoder)
    with files.write_atomic(path) as file:
        write_note_table(table, file)
        if not files.is_remote(path):
            return None
        file.seek(0)
        return sha256_stream(file)  # type: ignore[arg-type]


def seal(store: str, encoder: str, sha256: str) -> None:
    """Lets the next run take a file of all notes, by its digest, at its word. Raises OSError."""
    files.write_bytes(_seal_path(store, encoder), _line(sha256))


def break_seal(store: str, encoder: str) -> None:
    """Lets the next run list the store, unless somebody seals it again. Raises OSError."""
    if files.is_remote(store):
        files.write_bytes(_seal_path(store, encoder), _BROKEN)


@contextlib.contextmanager
def without(store: str, paths: Iterable[str]) -> Iterator[None]:
    """Keeps sealed files of all notes true where the block deletes embedding files; call it under `lock.hold`.

    Args:
        store: folder of the store.
        paths: of what is deleted, relative to the store, also of other kinds.

    Raises:
        OSError: if the store cannot be read or written. Then, or if the block fails, the next run lists.
    """
    lost: defaultdict[str, list[int]] = defaultdict(list)
    for path in paths if files.is_remote(store) else ():
        if path.startswith("embeddings/"):
            lost[path.split("/")[1]].append(place_of(note_path(path)))
    left = {}
    for encoder, places in lost.items():
        held = read_note_file(store, encoder)
        stays = ~np.isin(held.places, np.array(places, np.uint64))
        if held.is_sealed and not stays.all():
            left[encoder] = write_note_file(store, encoder, held.rows(stays))
    yield
    for encoder, sha256 in left.items():
        if sha256:
            seal(store, encoder, sha256)


def _path(store: str, encoder: str) -> str:
    return files.join(store, "notes", f"{encoder[:16]}.parquet")


def _seal_path(store: str, encoder: str) -> str:
    return files.join(store, "notes", f"{encoder[:16]}.sha256")


def _seal(store: str, encoder: str) -> bytes | None:
    try:
        return files.read_bytes(_seal_path(store, encoder))
    except FileNotFoundError:
        return None


def _line(sha256: str) -> bytes:
    return f"{sha256}\n".encode()
