"""Ids that occur in more than one shard of the corpus: the first shard's record is served, the others are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..store.database import database
from ..store.notes import EmbeddedShard

SCHEMA = pa.schema([("item_id", pa.string()), ("shard", pa.string()), ("kept_shard", pa.string())])


def find_duplicates(store: str, notes: Sequence[EmbeddedShard], spill: str | None = None) -> pa.Table:
    """Every record whose id an earlier shard has already.

    DuckDB does the grouping, and spills to disk when the ids of the corpus do not fit into `database.MEMORY`.

    Args:
        store: folder of the store.
        notes: the shards, in the order of the corpus; within one shard ids are unique.
        spill: local folder for a folder of what does not fit; None is that of the system's temporary files.

    Returns:
        Table of `item_id`, `shard` (where it is left out) and `kept_shard`, sorted by shard, then id.

    Raises:
        LookalikeError: if an embedding file is damaged or gone.
    """
    schema = pa.schema([("item_id", pa.string()), ("shard", pa.int32())])

    def batches() -> Iterator[pa.RecordBatch]:
        for number, note in enumerate(notes):
            with files.open_read(files.join(store, note.path)) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=["item_id"]):
                    shard = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
                    yield pa.record_batch([batch["item_id"], shard], schema=schema)

    with database(spill) as connection:
        connection.register("ids", pa.RecordBatchReader.from_batches(schema, batches()))
        try:
            rows = connection.execute(
                "SELECT item_id, list(shard ORDER BY shard) FROM ids GROUP BY item_id HAVING count(*) > 1"
            ).fetchall()
        except (duckdb.Error, UnicodeDecodeError) as error:
            _name_the_damaged(store, notes)
            raise LookalikeError(
                f"Duplicate ids cannot be looked for: {str(error).splitlines()[0]}"
            ) from None
    left_out = sorted((shard, item_id, shards[0]) for item_id, shards in rows for shard in shards[1:])
    named = [(item_id, notes[shard].shard, notes[kept].shard) for shard, item_id, kept in left_out]
    return pa.table(list(zip(*named, strict=True)) or [()] * 3, schema=SCHEMA)


def find_items(store: str, notes: Sequence[EmbeddedShard], ids: pa.Array) -> dict[str, list[str]]:
    """Which shards hold which of `ids`: shard name -> ids, sorted.

    Raises:
        OSError: if an embedding file cannot be read.
    """
    found: dict[str, list[str]] = {}
    for note in notes if len(ids) else ():
        path = files.join(store, note.path)
        with files.open_read(path) as file, damage_named(path):
            held = pq.read_table(file, columns=["item_id"])["item_id"]
        if hits := held.filter(pc.is_in(held, ids)).to_pylist():
            found[note.shard] = sorted(hits)
    return found


def _name_the_damaged(store: str, notes: Sequence[EmbeddedShard]) -> None:
    for note in notes:
        path = files.join(store, note.path)
        files.check_digest(path, files.read_bytes(path), note.sha256)


def write_duplicates(path: str, duplicates: pa.Table) -> None:
    """Writes the list atomically. Raises OSError."""
    with files.write_atomic(path) as file:
        pq.write_table(duplicates, file, compression="zstd")
