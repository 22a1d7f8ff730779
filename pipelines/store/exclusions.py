"""Takedowns: the ids of a store that no query returns and that the next run leaves out.

One Parquet file, STORE/excluded.parquet: `item_id`, `since`, `reason`. It belongs to the store, not to a
generation: rolling back brings nothing back that was taken down. Every page carries a checksum, so that damage
is an error and not a shorter list.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.text import lines
from . import generations, index_manifest
from .generation import IndexRef
from .hidden import read_hidden
from .lock import briefly
from .nearest import nearest

EXCLUDED = "excluded.parquet"
_LOCK = "excluded.lock"
SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("since", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Exclusion:
    """An id that is taken down: since when (UTC), and why."""

    item_id: str
    since: datetime
    reason: str


@dataclass(frozen=True)
class Change:
    """What `add` or `remove` did.

    Attributes:
        changed: ids that were added or removed.
        unchanged: ids that were in the list already, or not in it.
    """

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


def entries(store: str) -> list[Exclusion]:
    """The list, in the order of the ids. Raises as `excluded_ids`."""
    return [Exclusion(**row) for row in _read(store).to_pylist()]


def excluded_ids(store: str) -> pa.Array:
    """The ids that are taken down: string array, sorted, each once; empty if there never was one.

    Raises:
        LookalikeError: if the list is damaged: rather no answer than one that shows what was taken down.
        OSError: if it cannot be read.
    """
    return _read(store)["item_id"].combine_chunks()


def _read(store: str) -> pa.Table:
    path = files.join(store, EXCLUDED)
    if not files.exists(path):
        if os.path.islink(path):
            raise LookalikeError(
                f"The list of exclusions is gone: {path} is a link to nowhere. Restore what it leads to, or delete it"
            )
        return SCHEMA.empty_table()
    data = files.read_bytes(path)
    try:
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        table.validate(full=True)
        if table.schema != SCHEMA:
            raise pa.ArrowInvalid(f"expected columns {', '.join(SCHEMA.names)}")
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LookalikeError(
            f"The list of exclusions is damaged: {path}: {reason}. Restore it, or make it anew"
        ) from None
    return table


def add(store: str, ids: Iterable[str], reason: str = "", now: datetime | None = None) -> Change:
    """Takes ids down, from the next query on. An id that is in the list keeps its date and reason.

    Args:
        store: folder of the store.
        ids: need not be known to any generation; see `unknown_ids`.
        reason: for the list.
        now: None asks the clock.

    Raises:
        LookalikeError: if an id is empty, an id or the reason not UTF-8, or the list is damaged.
        OSError: if the store cannot be written; then the list is as before.
    """
    asked = _checked(ids)
    _check_utf8(reason, "a reason")
    since = (now or datetime.now(timezone.utc)).replace(microsecond=0)
    with briefly(files.join(store, _LOCK), "exclude add"):
        rows = {row["item_id"]: row for row in _read(store).to_pylist()}
        new = [item_id for item_id in asked if item_id not in rows]
        known = tuple(item_id for item_id in asked if item_id in rows)
        if new:
            rows |= {item_id: {"item_id": item_id, "since": since, "reason": reason} for item_id in new}
            _write(store, pa.Table.from_pylist([rows[item_id] for item_id in sorted(rows)], schema=SCHEMA))
    return Change(tuple(new), known)


def remove(store: str, ids: Iterable[str]) -> Change:
    """Lifts exclusions. Queries return such an item again if the generation that is served has it; else a run must.

    Raises:
        LookalikeError, OSError: as `add`.
    """
    asked = _checked(ids)
    with briefly(files.join(store, _LOCK), "exclude remove"):
        table = _read(store)
        gone = set(table["item_id"].to_pylist()) & set(asked)
        if gone:
            _write(
                store,
                table.filter(pc.invert(pc.is_in(table["item_id"], pa.array(sorted(gone), pa.string())))),
            )
    return Change(tuple(i for i in asked if i in gone), tuple(i for i in asked if i not in gone))


def _checked(ids: Iterable[str]) -> list[str]:
    asked = list(dict.fromkeys(ids))
    for item_id in asked:
        if not item_id:
            raise LookalikeError("Expected item ids. Received: an empty one")
        _check_utf8(item_id, "an item id")
    return asked


def _check_utf8(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LookalikeError(f"Expected {what} in UTF-8. Received: {text!r}") from None


def _write(store: str, table: pa.Table) -> None:
    path = files.join(store, EXCLUDED)
    if not files.is_remote(path):
        # Under the list's own lock: whoever left these is dead.
        left = glob.glob(os.path.join(glob.escape(os.path.dirname(path)), f".{EXCLUDED}{files.TEMPORARY}*"))
        files.delete_files(left)
    with files.write_atomic(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def unknown_ids(store: str, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that no generation of the store has, in order; one has what it left out as taken down, too.

    Raises:
        LookalikeError: if a generation cannot be read.
        OSError: if an index shard or an embedding file cannot be read.
    """
    missing = pa.array(list(dict.fromkeys(ids)), pa.string())
    for held in _held(store):
        if not len(missing):
            break
        missing = missing.filter(pc.invert(pc.is_in(missing, held)))
    return missing.to_pylist()


def _held(store: str) -> Iterator[pa.ChunkedArray]:
    """The ids of all generations, a file at a time: of every index, then those that were taken down before."""
    found = [generations.read(store, name) for name in reversed(generations.names(store))]
    for ref in {ref.key: ref for one in found for ref in one.indexes}.values():
        yield _ids_of(store, ref)
    seen: set[str] = set()
    for path in (
        files.join(store, note.path)
        for one in found
        if one.excluded
        for note in generations.served_notes(store, one)
    ):
        if path not in seen:
            seen.add(path)
            with files.open_read(path) as file:
                yield pq.read_table(file, columns=["item_id"])["item_id"]


def nearest_served(store: str, ids: Sequence[str]) -> dict[str, str]:
    """The nearest id that is served for each of `ids`, where one is alike; see `nearest.nearest`.

    Raises:
        LookalikeError, OSError: as `unknown_ids`.
    """
    served = generations.served_name(store) if ids else None
    if served is None:
        return {}
    indexes = generations.read(store, served).indexes
    return nearest(ids, [_ids_of(store, ref) for ref in indexes])


def nearest_excluded(store: str, ids: Sequence[str]) -> dict[str, str]:
    """The same among the ids that are taken down. Raises as `excluded_ids`."""
    return nearest(ids, [_read(store)["item_id"]]) if ids else {}


def _ids_of(store: str, ref: IndexRef) -> pa.ChunkedArray:
    """The ids of the items of an index shard that are not hidden."""
    ids = _items_of(files.join(store, ref.path, index_manifest.ITEMS))
    if ref.hidden is None:
        return ids
    return ids.take(pa.array(np.delete(np.arange(len(ids)), read_hidden(store, ref.hidden))))


def _items_of(path: str) -> pa.ChunkedArray:
    with contextlib.ExitStack() as stack:
        if files.is_remote(path):
            source = pa.BufferReader(files.read_bytes(path))
        else:
            source = stack.enter_context(pa.memory_map(path))
        options = pa.ipc.IpcReadOptions(included_fields=[0])
        try:
            return pa.ipc.open_file(source, options=options).read_all()[index_manifest.ITEM_ID]
        except pa.ArrowException as error:
            raise LookalikeError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def ids_from_file(path: str) -> list[str]:
    """The ids in a text file, one a line, as for queries; empty lines are skipped. Spaces are part of an id.

    Raises:
        LookalikeError: if a line is not UTF-8, or there is no id; see also `text.lines`.
        OSError: if the file cannot be read.
    """
    try:
        ids = [line.decode("utf-8") for line in lines(path) if line]
    except UnicodeDecodeError as error:
        raise LookalikeError(
            f"Expected ids in UTF-8, one a line, in {path}. Received: {error.object[:80]!r}"
        ) from None
    if not ids:
        raise LookalikeError(f"Expected ids, one a line, in {path}. Received: none")
    return ids
