"""All notes of an encoder in a store, read without opening each: one file holds those of the runs before.

    embeddings/ENCODER/NAME.json  a note; it is what counts
    notes/ENCODER.parquet         the same notes in one file, each with size and time of change of its own

A note that is not in that file, or was written since, is read where it lies. On an object store nothing is listed while
the file can be taken at its word (see `note_file`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..filesystem import files
from .note_file import NoteFile, place_of, read_note_file, seal, with_files, write_note_file
from .note_table import NoteTable
from .notes import (
    AGAIN,
    DamagedNoteError,
    EmbeddedShard,
    embedding_of,
    embeddings_folder,
    note_path,
    parse_note,
    rejects_beside,
    rejects_of,
)

_BATCH = 1 << 14


class FinishedShards(NamedTuple):
    """The notes of shards whose files are there, the newest last.

    Attributes:
        notes: the notes.
        are_kept: whether the file of all notes holds just them, and is sealed on an object store.
        are_listed: whether their files were seen now; else that file was taken at its word.
    """

    notes: NoteTable
    are_kept: bool
    are_listed: bool


def finished_shards(store: str, fingerprint: str, look: bool = False) -> FinishedShards:
    """All notes of an encoder in a store, of shards whose three files are there.

    Args:
        store: folder of the store.
        fingerprint: of the encoder.
        look: list the store, even if the file of all notes can be taken at its word.

    Raises:
        LookalikeError: if a note cannot be read as one, or a newer version wrote it.
        OSError: if the store cannot be read.
    """
    kept = read_note_file(store, fingerprint)
    if kept.is_sealed and not look:
        return FinishedShards(kept.notes.take(_by_age(kept.places, kept.modified)), True, False)
    listed = _listed(embeddings_folder(store, fingerprint))
    rows, places = _still_true(kept, listed)
    told = np.zeros(len(listed.places), bool)
    told[places] = True
    new = np.flatnonzero(~told)
    paths = [files.join(listed.folder, name) for name in listed.names.take(pa.array(new)).to_pylist()]
    read = NoteTable.of(_read(paths))
    where = np.concatenate([places, new])
    order = _by_age(listed.places[where], listed.modified.take(pa.array(where)))
    are_kept = _is_true(kept, listed, places) and (kept.is_sealed or not files.is_remote(store))
    return FinishedShards(NoteTable.joined(kept.notes.take(rows), read).take(order), are_kept, True)


def keep_notes(store: str, fingerprint: str, notes: Sequence[EmbeddedShard]) -> None:
    """Writes the file of all notes, of those that it has and some more, if any; call it under `lock.hold`.

    On an object store it is sealed if it holds all that are listed. Those of shards whose files are not all there are
    left out.

    Args:
        store: folder of the store.
        fingerprint: of the encoder.
        notes: as they lie in the store now; of two for one embedding file the last counts.

    Raises:
        OSError: if the store cannot be read or written.
    """
    listed = _listed(embeddings_folder(store, fingerprint))
    kept = read_note_file(store, fingerprint)
    rows, places = _still_true(kept, listed)
    sha256, count = kept.sha256, len(places)
    if not _is_true(kept, listed, places):
        more = NoteTable.of(notes)
        new = np.fromiter((place_of(note_path(note.path)) for note in more), np.uint64, len(more))
        last = len(new) - 1 - np.unique(new[::-1], return_index=True)[1]
        old = ~np.isin(listed.places[places], new)
        at, there = _found(listed.places, new[last])
        where = np.concatenate([places[old], at[there]])
        count = len(where)
        table = with_files(
            NoteTable.joined(kept.notes.take(rows[old]), more.take(last[there])),
            listed.places[where],
            listed.sizes[where],
            listed.modified.take(pa.array(where)),
        )
        sha256 = write_note_file(store, fingerprint, table)
    if sha256 and count == len(listed.places):
        seal(store, fingerprint, sha256)


def changed_behind(store: str, fingerprint: str, notes: Sequence[EmbeddedShard]) -> list[str]:
    """The shards of some notes that the store does not hold as these say, by its listing.

    Raises:
        LookalikeError, OSError: as `finished_shards`.
    """
    there = {_key(note) for note in finished_shards(store, fingerprint, look=True).notes}
    return [note.shard for note in notes if _key(note) not in there]


def _key(note: EmbeddedShard) -> int:
    return hash((note.path, note.sha256, note.rejects_sha256))


@dataclass(frozen=True)
class _Listed:
    """The notes of finished shards as they are listed, as columns.

    Attributes:
        folder: where they lie.
        places: what they are called, see `place_of`; uint64.
        names, sizes, modified: of each.
    """

    folder: str
    places: np.ndarray
    names: pa.ChunkedArray
    sizes: np.ndarray
    modified: pa.ChunkedArray


def _listed(folder: str) -> _Listed:
    places = {kind: array("Q") for kind in ("note", "rejects", "embeddings")}
    sizes = array("q")
    names: list[pa.Array] = []
    modified: list[pa.Array] = []
    waiting: list[files.FileInfo] = []

    def flush() -> None:
        names.append(pa.array([file.path.rpartition("/")[2] for file in waiting], pa.string()))
        modified.append(pa.array([file.modified for file in waiting], pa.string()))
        waiting.clear()

    for file in files.each_file(folder):
        embedding = embedding_of(file.path)
        if file.path.endswith(".json"):
            kind = "note"
            sizes.append(file.size)
            waiting.append(file)
        elif file.path.endswith(".parquet"):
            kind = "embeddings" if file.path == embedding else "rejects"
        else:
            continue
        places[kind].append(place_of(note_path(embedding)))
        if len(waiting) == _BATCH:
            flush()
    flush()
    embeddings, rejects, notes = (
        np.frombuffer(places[kind], np.uint64) if places[kind] else np.empty(0, np.uint64)
        for kind in ("embeddings", "rejects", "note")
    )
    finished = np.isin(notes, embeddings) & np.isin(notes, rejects)
    return _Listed(
        folder,
        notes[finished],
        pa.chunked_array(names, pa.string()).filter(pa.array(finished)),
        np.array(sizes, np.int64)[finished],
        pa.chunked_array(modified, pa.string()).filter(pa.array(finished)),
    )


def _by_age(places: np.ndarray, modified: pa.ChunkedArray) -> np.ndarray:
    """The order of notes from the oldest to the newest; of equal age, by name."""
    return np.lexsort((places, pc.cast(modified, pa.float64()).to_numpy()))


def _still_true(kept: NoteFile, listed: _Listed) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the file of all notes, and the places in the listing of the notes that are as they were then."""
    places, there = _found(listed.places, kept.places)
    rows, places = np.flatnonzero(there), places[there]
    same = listed.sizes[places] == kept.sizes[rows]
    was = kept.modified.take(pa.array(rows))
    same &= pc.equal(listed.modified.take(pa.array(places)), was).to_numpy()
    return rows[same], places[same]


def _is_true(kept: NoteFile, listed: _Listed, places: np.ndarray) -> bool:
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
        embedding = embedding_of("/".join(path.split("/")[-3:]))
        rejects = (rejects_of(embedding), rejects_beside(embedding))
        if note.path != embedding or note.rejects_path not in rejects:
            raise DamagedNoteError(f"{path} is the note of another file, {note.path}; {AGAIN}")
        yield note
