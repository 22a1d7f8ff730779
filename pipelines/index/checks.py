"""What must be known of all embedding files before they are indexed, found by workers in two passes.

The first reads each file that was not read before (`ids`; see `store.kept`), the second compares the ids of a part
(`duplicates`). A third keeps what was read for the next run. Whoever started them holds no id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..runner import progress
from ..runner.work_list import WorkList, write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..store import kept
from ..store.kept import Fields, KeptTable
from ..store.kept_parts import KeptParts
from ..store.notes import EmbeddedShard
from ..store.splits import IDS, KEYS, parts_for
from .duplicates import FindLeftOut, write_taken_down
from .ids import ReadIds, StoredShard, found_in
from .keeping import KeepParts


@dataclass(frozen=True)
class Checks:
    """What is asked of embedding files.

    Attributes:
        store: folder of the store.
        encoder: its fingerprint.
        run_folder: of the run, for what workers read and write.
        vectors: how many the files hold.
        again: whether files are read that were read before.
        flags: Beam's flags.
    """

    store: str
    encoder: str
    run_folder: str
    vectors: int
    again: bool = True
    flags: Sequence[str] = ()

    @property
    def read_folder(self) -> str:
        """Where what is read now lies."""
        return files.join(self.run_folder, "read")

    def work(self, name: str, parts: int) -> WorkList[int]:
        """The parts as work. Raises OSError."""
        folder = files.join(self.run_folder, "work", name)
        return write_work_list(folder, range(parts), parts, int, pieces_at_most(self.flags))


@dataclass(frozen=True, eq=False)
class ReadFiles:
    """What was read of embedding files.

    Attributes:
        damaged: files that are not what their digests say, relative to the store.
        shards: number of embedding files of the corpus.
        kept: rows that were read before, of files that are numbered as in `table`.
        table: of the files, first those of the corpus in its order, then others that are still in the store.
        is_new: whether any of them was read now.
        before: the table of `kept`.
    """

    damaged: tuple[str, ...]
    shards: int
    kept: KeptParts
    table: KeptTable
    is_new: bool
    before: KeptTable

    @property
    def carried(self) -> frozenset[str]:
        """Fields of metadata that have a value in a file of the corpus."""
        return self.table.with_values(np.arange(self.shards))


def read_ids(checks: Checks, notes: Sequence[EmbeddedShard], stored: Iterable[EmbeddedShard]) -> ReadFiles:
    """Checks files and reads their ids, which `find_left_out` then compares.

    Args:
        checks: what is asked.
        notes: the embedding files, in the order of the corpus.
        stored: all embedding files of the encoder in the store.

    Raises:
        LookalikeError: if an embedding file cannot be read.
        OSError: if the run's folder cannot be written.
    """
    before = kept.usable(checks.store, checks.encoder, checks.run_folder, (IDS, KEYS), checks.flags)
    rows = before.rows_of(notes)
    others = np.setdiff1d(before.rows_of(stored), [-1, *rows])
    numbers = np.full(len(before), -1, "<i4")
    numbers[others] = len(notes) + np.arange(len(others))
    known = (rows >= 0) & (not checks.again)
    numbers[rows[known]] = np.flatnonzero(known)
    known[known] = numbers[rows[known]] == np.flatnonzero(known)  # unless two notes are of one file
    path = files.join(checks.run_folder, "numbers")
    files.write_bytes(path, numbers.tobytes(), lasting=False)
    if not known.all():
        _read(checks, notes, ~known)
    found = found_in(checks.read_folder)
    held = pa.concat_arrays([kept.files_of(notes), before.files.take(pa.array(others))])
    table = KeptTable(held, before.fields, np.full(len(held), -1, np.int32))
    table.fields_of[: len(notes)][known] = before.fields_of[rows[known]]
    table.fields_of[len(notes) :] = before.fields_of[others]
    return ReadFiles(
        damaged=found.damaged,
        shards=len(notes),
        kept=kept.parts_of(checks.store, checks.encoder, before, path),
        table=_with_fields(table, found.fields),
        is_new=not known.all(),
        before=before,
    )


def _read(checks: Checks, notes: Sequence[EmbeddedShard], wanted: np.ndarray) -> None:
    """Has workers read the embedding files of some notes, bool (notes,)."""
    count = int(wanted.sum())
    shards = (StoredShard.of(n, note) for n, note in enumerate(notes) if wanted[n])
    work = write_work_list(
        files.join(checks.run_folder, "work", "ids"),
        (shard.to_json() for shard in shards),
        count,
        StoredShard.from_json,
        pieces_at_most(checks.flags),
    )
    noted = files.join(checks.run_folder, "progress-checking")
    read = ReadIds(checks.store, checks.read_folder, parts_for(checks.vectors), noted)
    vectors = sum(note.embedded + note.reused for n, note in enumerate(notes) if wanted[n])
    with progress.shown("checking", noted, count, vectors, "vectors"):
        in_workers("Read ids", read, work, checks.flags)


def _with_fields(table: KeptTable, found: Mapping[Fields, np.ndarray]) -> KeptTable:
    """The table with what was found in some of its files."""
    fields = list(table.fields)
    of = table.fields_of.copy()
    for names, numbers in found.items():
        if names not in fields:
            fields.append(names)
        of[numbers] = fields.index(names)
    return replace(table, fields=tuple(fields), fields_of=of)


def find_left_out(checks: Checks, read: ReadFiles, taken_down: pa.Array) -> str:
    """Finds the records that are not served; gives the folder that `duplicates.left_out` reads.

    Args:
        checks: for which `read_ids` was done.
        read: what it gave.
        taken_down: ids that are not served, string array, each once.

    Raises:
        LookalikeError: if what does not fit into memory finds no place.
        OSError: if the run's folder cannot be written.
    """
    parts = parts_for(checks.vectors)
    path = files.join(checks.run_folder, "taken-down.arrow")
    write_taken_down(path, taken_down, parts)
    folder = files.join(checks.run_folder, "left-out")
    spill = None if files.is_remote(checks.run_folder) else checks.run_folder
    find = FindLeftOut(read.kept, read.shards, checks.read_folder, parts, path, folder, spill)
    in_workers("Find left out", find, checks.work("left-out", parts), checks.flags)
    return folder


def keep(checks: Checks, read: ReadFiles) -> KeptTable:
    """Has workers keep what was read for the next run; gives the table of it, that of `before` if nothing is new.

    Raises:
        LookalikeError, OSError: if a file system fails; see `workers.in_workers`.
    """
    if not read.is_new:
        return read.before
    parts = parts_for(checks.vectors)
    table = read.table.split_into(parts)
    to = kept.parts_of(checks.store, checks.encoder, table)
    in_workers("Keep", KeepParts(read.kept, checks.read_folder, to), checks.work("keep", parts), checks.flags)
    return table
