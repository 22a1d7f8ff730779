"""What was read of embedding files by the last run that indexed: who reads it opens only those that are new.

    kept/ENCODER.arrow   table of the embedding files, and what the files of their rows are called; it is what counts
    kept/ENCODER/        these; see `kept_parts`

All of it follows from embedding files, each of which is known by its path and digest, whatever corpus or generation it
belongs to now. It may be deleted at any time: then every embedding file is read again. One writer at a time, under
`lock.hold`, writes rows under a name made from the table, replaces the table, and deletes what that does not name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..filesystem import files
from ..filesystem.files import FileInfo
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from .kept_parts import CheckKept, DamagedKeptError, KeptParts, read_sealed, write_sealed
from .notes import EmbeddedShard
from .own_names import is_kept
from .splits import IDS, KEYS

logger = logging.getLogger(__name__)
FOLDER = "kept"
_FORMAT = b"1"
"""Of the table, of the rows, and of how they are split."""
_FILE = pa.binary(16)
_SCHEMA = pa.schema([("file", _FILE), ("fields", pa.dictionary(pa.int32(), pa.string()))])
Fields = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class KeptTable:
    """Embedding files whose rows are kept.

    Attributes:
        files: a digest of the path and the digest of each, binary(16) (files,).
        fields: sets of fields of metadata, sorted.
        fields_of: which of these sets has values in each file, int32 (files,); -1 if that is not known.
        name: what the files of its rows begin with; empty where nothing is kept.
        parts: into how many parts they are split.
    """

    files: pa.Array
    fields: tuple[Fields, ...]
    fields_of: np.ndarray
    name: str = ""
    parts: int = 0

    def __len__(self) -> int:
        return len(self.files)

    def rows_of(self, notes: Iterable[EmbeddedShard]) -> np.ndarray:
        """The row of the embedding file of each note, -1 for none: int64 (notes,)."""
        return pc.index_in(files_of(notes), value_set=self.files).fill_null(-1).to_numpy().astype(np.int64)

    def split_into(self, parts: int) -> KeptTable:
        """The same files, with the name that their rows have, in any order, where they are split into so many parts."""
        start, end = (_FILE.byte_width * at for at in (self.files.offset, self.files.offset + len(self)))
        told = memoryview(self.files.buffers()[1])[start:end]
        name = blake2b(told, digest_size=16, salt=str(parts).encode()).hexdigest()
        return replace(self, name=name, parts=parts)

    def with_values(self, rows: np.ndarray) -> frozenset[str]:
        """The fields that have a value in one of the files of some rows."""
        return frozenset(
            name for kind in np.unique(self.fields_of[rows]) if kind >= 0 for name in self.fields[kind]
        )


NOTHING = KeptTable(pa.array([], _FILE), (), np.empty(0, np.int32))


def files_of(notes: Iterable[EmbeddedShard]) -> pa.Array:
    """What their embedding files are known by: binary(16) (notes,)."""
    digests = (blake2b(f"{n.path}\0{n.sha256}".encode(), digest_size=16).digest() for n in notes)
    return pa.array(digests, _FILE)


def read_table(store: str, encoder: str) -> KeptTable:
    """What is kept of an encoder; `NOTHING` if it was never written, or by another version.

    Raises:
        DamagedKeptError: if it is not what was written.
        OSError: if it cannot be read.
    """
    try:
        sealed = read_sealed(_path(store, encoder))
    except FileNotFoundError:
        return NOTHING
    with pa.ipc.open_stream(sealed) as reader:
        told = reader.schema.metadata or {}
        if told.get(b"format") != _FORMAT:
            return NOTHING
        table = reader.read_all()
    held = table["fields"].combine_chunks()
    fields = tuple(tuple(json.loads(names)) for names in held.dictionary.to_pylist())
    of = held.indices.to_numpy()
    return KeptTable(table["file"].combine_chunks(), fields, of, told[b"name"].decode(), int(told[b"parts"]))


def write_table(store: str, encoder: str, table: KeptTable) -> None:
    """Replaces what is kept of an encoder by rows that lie there already. Raises OSError."""
    names = pa.array([json.dumps(fields) for fields in table.fields], pa.string())
    fields = pa.DictionaryArray.from_arrays(pa.array(table.fields_of, pa.int32()), names)
    told = {"format": _FORMAT, "name": table.name, "parts": str(table.parts)}
    rows = pa.table([table.files, fields], schema=_SCHEMA.with_metadata(told))
    with write_sealed(_path(store, encoder)) as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)


def usable(
    store: str, encoder: str, run_folder: str, schemas: Sequence[pa.Schema], flags: Sequence[str]
) -> KeptTable:
    """What is kept of an encoder, once workers have seen that it is whole; else that is told, and it is forgotten.

    Args:
        store: folder of the store.
        encoder: its fingerprint.
        run_folder: of the run, for what workers leave.
        schemas: the kinds of rows that will be read.
        flags: Beam's flags.

    Raises:
        LookalikeError, OSError: if a file system fails; see `workers.in_workers`.
    """
    try:
        table = read_table(store, encoder)
        _check(parts_of(store, encoder, table), run_folder, schemas, flags)
    except DamagedKeptError as error:
        logger.warning("%s: every embedding file is read again", error)
        forget(store, encoder)
        return NOTHING
    return table


def _check(kept: KeptParts, run_folder: str, schemas: Sequence[pa.Schema], flags: Sequence[str]) -> None:
    if not kept.parts:
        return
    parts, marks = range(kept.parts), files.join(run_folder, "damaged")
    work = files.join(run_folder, "work", "kept")
    elements = write_work_list(work, parts, len(parts), int, pieces_at_most(flags))
    in_workers("Check kept", CheckKept(kept, tuple(schemas), marks), elements, flags)
    for mark in files.list_files(marks):
        raise DamagedKeptError(files.read_bytes(mark.path).decode())


def parts_of(store: str, encoder: str, table: KeptTable, numbers: str = "") -> KeptParts:
    """The rows of a table, as workers read them; see `KeptParts` for `numbers`."""
    return KeptParts(files.join(_folder(store, encoder), table.name), table.parts, numbers)


def forget(store: str, encoder: str) -> None:
    """Deletes what is kept of an encoder. Raises OSError."""
    files.delete_files([_path(store, encoder)])


def replace_rows(store: str, encoder: str, table: KeptTable) -> None:
    """Makes a table what is kept of an encoder, and deletes all rows that are not of it, also those of dead runs.

    Raises:
        OSError: if the store cannot be read or written.
    """
    write_table(store, encoder, table)
    folder = _folder(store, encoder)
    held = [file.path for file in files.each_file(folder)]
    gone = [p for p in held if _is_ours(p) and not p.rpartition("/")[2].startswith(f"{table.name}-")]
    files.delete_files(gone)
    if gone and not files.is_remote(folder):
        files.sync(folder)  # or they were back after a power cut, until rows are replaced again


def damage(store: str, encoder: str) -> list[str]:
    """A sentence for each file that is not whole. Raises OSError."""
    try:
        table = read_table(store, encoder)
        found = [*_damaged_rows(parts_of(store, encoder, table))]
        # A run that ends meanwhile deletes the rows of the one before.
        return found if found and read_table(store, encoder).name == table.name else []
    except DamagedKeptError as error:
        return [str(error)]


def _damaged_rows(kept: KeptParts) -> Iterator[str]:
    for part in range(kept.parts):
        for schema in (IDS, KEYS):
            try:
                kept.read(schema, part)
            except DamagedKeptError as error:
                yield str(error)


def of_others(store: str, encoders: Collection[str]) -> Iterator[FileInfo]:
    """The files of what is kept of other encoders than these. Raises OSError."""
    ours = {encoder[:16] for encoder in encoders}
    for file in files.each_file(files.join(store, FOLDER)):
        folder, name = file.path.split("/")[-2:]
        if _is_ours(file.path) and (name[:16] if folder == FOLDER else folder) not in ours:
            yield file


def _is_ours(path: str) -> bool:
    below = path.split("/")[-3:]
    return is_kept("/".join(below[below[1] == FOLDER :]))


def _path(store: str, encoder: str) -> str:
    return f"{_folder(store, encoder)}.arrow"


def _folder(store: str, encoder: str) -> str:
    return files.join(store, FOLDER, encoder[:16])
