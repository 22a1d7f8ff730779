"""Records that are not served: those whose id an earlier shard of the corpus has, and those that are taken down.

Workers find them, a part of the ids each (see `ids`); who started them reads their files together, in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..runner.parts import read_part, write_parts
from ..store.database import database, take_rows
from ..store.kept_parts import KeptParts
from ..store.notes import EmbeddedShard
from ..store.splits import IDS, part_of_ids
from .ids import read_rows

SCHEMA = pa.schema([("item_id", pa.string()), ("shard", pa.string()), ("kept_shard", pa.string())])
_LEFT_OUT = pa.schema(
    [("shard", pa.int32()), ("item_id", pa.string()), ("kept", pa.int32()), ("taken_down", pa.bool_())]
)
_TAKEN_DOWN = pa.schema([("item_id", pa.string())])
_ROWS = 2048
"""Rows that are held at once of each part."""
_ROW_GROUP = 100_000
_FEW_BYTES = 1 << 26
"""Of ids that are compared without a database, which takes 0.05 s to open."""
_FIND = """
SELECT shard, item_id, CASE WHEN first < shard THEN first END AS kept, gone
FROM (
    SELECT item_id, min(shard) AS first, unnest(list(shard)) AS shard, any_value(gone) IS NOT NULL AS gone
    FROM batches LEFT JOIN (SELECT item_id, true AS gone FROM taken_down) USING (item_id)
    GROUP BY item_id HAVING count(*) > 1 OR any_value(gone)
)
WHERE first < shard OR gone
ORDER BY shard, item_id
"""
"""Grouping spills best: a window or a join over all ids needed three times the memory, or ended for want of it."""


class LeftOut(NamedTuple):
    """A record that is not served.

    Attributes:
        shard: number of its shard, in the order of the corpus.
        item_id: its id; within one shard ids are unique.
        kept: number of the shard whose record is served in its place; None unless it is a duplicate.
        taken_down: whether its id is.
    """

    shard: int
    item_id: str
    kept: int | None
    taken_down: bool


@dataclass(frozen=True)
class FindLeftOut:
    """Parts of the ids -> for each a file of what is left out, by shard and id. It travels to workers.

    Attributes:
        kept: ids that were read before.
        shards: number of embedding files of the corpus; those of `kept` with a higher number are of no matter.
        read_folder: where `ids.ReadIds` left the others.
        parts: into how many parts they are split.
        taken_down: file of the ids that are taken down, split likewise; see `write_taken_down`.
        folder: for the files that are written.
        spill: local folder for what does not fit into memory; None is that of the system's temporary files.
    """

    kept: KeptParts
    shards: int
    read_folder: str
    parts: int
    taken_down: str
    folder: str
    spill: str | None = None

    def __call__(self, parts: Iterable[int]) -> None:
        for part in parts:
            try:
                self._find(part)
            except OSError as error:
                raise LookalikeError(f"Duplicate ids cannot be looked for: {files.reason(error)}") from error

    def _find(self, part: int) -> None:
        path = files.join(self.folder, f"{part:05}.arrow")
        with (
            files.write_atomic(path, lasting=False) as file,
            pa.ipc.new_stream(file, _LEFT_OUT) as writer,
        ):
            if self._is_nothing_left_out(part):
                return  # as in most nights, for which no database need be opened
            with database(self.spill) as connection:
                taken_down = read_part(self.taken_down, part, self.parts)
                take_rows(connection, "CREATE TABLE taken_down AS FROM batches", _TAKEN_DOWN, taken_down)
                take_rows(connection, f"CREATE TABLE left_out AS {_FIND}", IDS, self._ids(part))
                found = connection.execute("FROM left_out")
                while rows := found.fetchmany(_ROWS):
                    columns = [
                        pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), _LEFT_OUT, strict=True)
                    ]
                    writer.write_batch(pa.record_batch(columns, schema=_LEFT_OUT))

    def _is_nothing_left_out(self, part: int) -> bool:
        """Whether all ids differ and none is taken down; False where they are too many to be held."""
        ids = list[pa.Array]()
        held = 0
        for rows in chain(read_part(self.taken_down, part, self.parts), self._ids(part)):
            ids.append(rows["item_id"])
            held += rows["item_id"].nbytes
            if held > _FEW_BYTES:
                return False
        together = pa.chunked_array(ids, pa.string())
        return len(together.unique()) == len(together)

    def _ids(self, part: int) -> Iterator[pa.RecordBatch]:
        for rows in self.kept.rows(IDS, part, self.parts):
            yield rows.filter(pc.less(rows["shard"], self.shards))
        yield from read_rows(self.read_folder, IDS, part, self.parts)


def write_taken_down(path: str, taken_down: pa.Array, parts: int) -> None:
    """Leaves the ids that are taken down, split into parts, to workers. Raises OSError."""
    with write_parts(path, _TAKEN_DOWN, parts) as writer:
        writer.add(pa.record_batch([taken_down], schema=_TAKEN_DOWN), part_of_ids(taken_down, parts))


def left_out(folder: str) -> Iterator[LeftOut]:
    """What `FindLeftOut` left in a folder, of all parts together: by shard, then id. Raises OSError."""
    return heapq.merge(*(_rows(file.path) for file in files.list_files(folder)))


def _rows(path: str) -> Iterator[LeftOut]:
    with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield from map(LeftOut, *(column.to_pylist() for column in batch.columns))


def write_duplicates(path: str, found: Iterable[LeftOut], notes: Sequence[EmbeddedShard]) -> None:
    """Writes the list of duplicates atomically: `item_id`, `shard` (where it is left out) and `kept_shard`.

    Args:
        path: of the file.
        found: in the order of the list; what is no duplicate is not in it.
        notes: the shards, in the order of the corpus.

    Raises:
        OSError: if it cannot be written.
    """
    rows = (
        (one.item_id, notes[one.shard].shard, notes[one.kept].shard) for one in found if one.kept is not None
    )
    with files.write_atomic(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            writer.write_table(pa.table(list(zip(*group, strict=True)), schema=SCHEMA))
