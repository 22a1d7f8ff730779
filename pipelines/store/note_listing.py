"""All notes of an encoder in a store, read without opening each: one file holds those of the runs before.

    embeddings/ENCODER/NAME.json  a note; it is what counts
    notes/ENCODER.parquet         the same notes in one file, each with size and time of change of its own

A note that is not in that file, or was written since, is read where it lies. The file may be deleted at any time.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .note_table import NoteTable, read_note_table, write_note_table
from .notes import AGAIN, DamagedNoteError, EmbeddedShard, embeddings_folder, note_path, parse_note

logger = logging.getLogger(__name__)
_FILES = {".json": "note", ".rejects.parquet": "rejects", ".parquet": "embeddings"}
"""Endings of a shard's three files; the longer of two comes first."""
_BATCH = 1 << 14


class FinishedShards(NamedTuple):
    """The notes of shards whose files are there, the newest last, and whether the file of all notes holds just them
    and those of shards whose files are not.
    """

    notes: NoteTable
    are_kept: bool


def finished_shards(store: str, fingerprint: str) -> FinishedShards:
    """All notes of an encoder in a store.

    Raises:
        LookalikeError: if a note cannot be read as one, or a newer version wrote it.
        OSError: if the store cannot be read.
    """
    listed = _listed(embeddings_folder(store, fingerprint))
    kept = _kept(store, fingerprint)
    rows, places = _still_true(kept, listed)
    told = np.zeros(len(listed.places), bool)
    told[places] = True
    finished = np.isin(listed.places, listed.embeddings) & np.isin(listed.places, listed.rejects)
    whole = finished[places]
    new = np.flatnonzero(finished & ~told)
    paths = [files.join(listed.folder, name) for name in listed.names.take(pa.array(new)).to_pylist()]
    read = NoteTable.of(_read(paths))
    where = np.concatenate([places[whole], new])
    notes = NoteTable.joined(kept.notes.take(rows[whole]), read).take(_by_age(listed, where))
    return FinishedShards(notes, _is_true(kept, listed, places))


def keep_notes(store: str, fingerprint: str, notes: Sequence[EmbeddedShard]) -> None:
    """Writes the file of all notes, of those that it has and some more, if any; call it under `lock.hold`.

    Args:
        store: folder of the store.
        fingerprint: of the encoder.
        notes: as they lie in the store now; of two for one embedding file the last counts.

    Raises:
        OSError: if the store cannot be read or written.
    """
    listed = _listed(embeddings_folder(store, fingerprint))
    kept = _kept(store, fingerprint)
    rows, places = _still_true(kept, listed)
    if _is_true(kept, listed, places):
        return
    more = NoteTable.of(notes)
    new = np.fromiter((_place(note_path(note.path)) for note in more), np.uint64, len(more))
    last = len(new) - 1 - np.unique(new[::-1], return_index=True)[1]
    old = ~np.isin(listed.places[places], new)
    at, there = _found(listed.places, new[last])
    where = np.concatenate([places[old], at[there]])
    table = NoteTable.joined(kept.notes.take(rows[old]), more.take(last[there])).table
    for name, column in (
        ("place", listed.places[where]),
        ("note_size", listed.sizes[where]),
        ("note_modified", listed.modified.take(pa.array(where))),
    ):
        table = table.append_column(name, pa.array(column) if isinstance(column, np.ndarray) else column)
    with files.write_atomic(_path(store, fingerprint)) as file:
        write_note_table(table, file)


@dataclass(frozen=True)
class _Listed:
    """The files of finished shards, as columns; a place is a digest of what a shard's three files are called.

    Attributes:
        folder: where they lie.
        embeddings, rejects, places: of the three kinds of files, uint64.
        names, sizes, modified: of the notes, in the order of `places`.
        seconds: when they were changed, in what unit their file system tells.
    """

    folder: str
    embeddings: np.ndarray
    rejects: np.ndarray
    places: np.ndarray
    names: pa.ChunkedArray
    sizes: np.ndarray
    modified: pa.ChunkedArray
    seconds: np.ndarray


@dataclass(frozen=True)
class _Kept:
    """What the file of all notes holds; rows of four columns."""

    notes: NoteTable
    places: np.ndarray
    sizes: np.ndarray
    modified: pa.ChunkedArray


def _listed(folder: str) -> _Listed:
    places = {kind: array("Q") for kind in _FILES.values()}
    sizes = array("q")
    names: list[pa.Array] = []
    modified: list[pa.Array] = []
    waiting: list[files.FileInfo] = []

    def flush() -> None:
        names.append(pa.array([file.path.rpartition("/")[2] for file in waiting], pa.string()))
        modified.append(pa.array([file.modified for file in waiting], pa.string()))
        waiting.clear()

    for file in files.each_file(folder):
        for ending, kind in _FILES.items():
            if file.path.endswith(ending):
                places[kind].append(_place(file.path.removesuffix(ending) + ".json"))
                if kind == "note":
                    sizes.append(file.size)
                    waiting.append(file)
                break
        if len(waiting) == _BATCH:
            flush()
    flush()
    embeddings, rejects, notes = (
        np.frombuffer(places[kind], np.uint64) if places[kind] else np.empty(0, np.uint64)
        for kind in ("embeddings", "rejects", "note")
    )
    changed = pa.chunked_array(modified, pa.string())
    return _Listed(
        folder,
        embeddings,
        rejects,
        notes,
        pa.chunked_array(names, pa.string()),
        np.array(sizes, np.int64),
        changed,
        pc.cast(changed, pa.float64()).to_numpy(),
    )


def _by_age(listed: _Listed, places: np.ndarray) -> np.ndarray:
    """The order of the notes at some places from the oldest to the newest; of equal age, by name."""
    return np.lexsort((places, listed.seconds[places]))


def _place(path: str) -> int:
    """64 bits of what a note is called: of a million, two are equal in one of 37 million stores."""
    return int.from_bytes(blake2b(path.rpartition("/")[2].encode(), digest_size=8).digest(), "little")


def _path(store: str, fingerprint: str) -> str:
    return files.join(store, "notes", f"{fingerprint[:16]}.parquet")


def _kept(store: str, fingerprint: str) -> _Kept:
    """The file of all notes; one that is damaged is as good as none. Raises OSError."""
    path = _path(store, fingerprint)
    try:
        with files.open_read(path) as file:
            return _parsed(file, path)
    except FileNotFoundError:
        pass
    except LookalikeError as error:
        logger.warning("%s; every note is read where it lies", error)
    none = pa.chunked_array([], pa.string())
    return _Kept(NoteTable.of(()), np.empty(0, np.uint64), np.empty(0, np.int64), none)


def _parsed(file: IO[bytes], path: str) -> _Kept:
    notes, more = read_note_table(
        file, path, {"place": pa.uint64(), "note_size": pa.int64(), "note_modified": pa.string()}
    )
    return _Kept(notes, more["place"].to_numpy(), more["note_size"].to_numpy(), more["note_modified"])


def _still_true(kept: _Kept, listed: _Listed) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the file of all notes, and the places in the listing of the notes that are as they were then."""
    places, there = _found(listed.places, kept.places)
    rows, places = np.flatnonzero(there), places[there]
    same = listed.sizes[places] == kept.sizes[rows]
    was = kept.modified.take(pa.array(rows))
    same &= pc.equal(listed.modified.take(pa.array(places)), was).to_numpy()
    return rows[same], places[same]


def _is_true(kept: _Kept, listed: _Listed, places: np.ndarray) -> bool:
    """Whether the file of all notes holds those that are listed, all as they are, and no other."""
    return len(places) == len(listed.places) == len(kept.places)


def _found(among: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `wanted` is `among` others, int64, and whether it is there at all."""
    if not len(among):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(among, kind="stable")
    at = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(order) - 1)]
    return at, among[at] == wanted


def _read(paths: Sequence[str]) -> Iterator[EmbeddedShard]:
    for path, data in zip(paths, files.read_many(paths), strict=True):
        note = parse_note(data, path)
        beside = "/".join(path.split("/")[-3:]).removesuffix(".json")
        if (note.path, note.rejects_path) != (f"{beside}.parquet", f"{beside}.rejects.parquet"):
            raise DamagedNoteError(f"{path} is the note of another file, {note.path}; {AGAIN}")
        yield note
