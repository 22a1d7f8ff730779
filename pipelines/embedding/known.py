"""Embeddings that are known by the content of the images, wherever in the store they lie: a join, once a run.

The driver joins the digests of what the missing shards hold with those of all embedding files of the encoder, and
leaves each shard a file of the embeddings that it need not make, in order of their positions. A worker reads that
along with the shard, in constant memory.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import IO, Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..filesystem import files
from ..sources import Shard
from ..store.database import database, take_rows
from ..store.notes import EmbeddedShard, is_whole
from .outcomes import run_file

logger = logging.getLogger(__name__)
MEMORY = "1GB"
"""What the join may take before it spills to the disk."""
_BATCH = 1024
_WANTED = pa.schema([("shard", pa.int32()), ("position", pa.int64()), ("key", pa.uint64())])
_HELD = pa.schema(
    [
        ("file", pa.int32()),
        ("row", pa.int64()),
        ("key", pa.uint64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
    ]
)
_TABLES = """
CREATE TABLE wanted (shard INTEGER, position BIGINT, key UBIGINT);
CREATE TABLE held (file INTEGER, row BIGINT, key UBIGINT);
"""
"""What missing shards hold, and where embedding files hold the same. A key is the first 64 bits of a digest: two
images that share it are told apart by the worker, who compares the whole."""
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[list(b"0123456789abcdef")] = range(16)


def _record(dim: int) -> np.dtype[Any]:
    """What is known of an image, as it lies in a file; all zeros for nothing."""
    image = [("content", "S64"), ("width", "<i4"), ("height", "<i4"), ("vector", "<f4", (dim,))]
    return np.dtype([("position", "<i8"), *image])


class Embedding(NamedTuple):
    """The vector of an image, float32 (dim,), and [width, height] of the original in pixels."""

    vector: np.ndarray
    size: list[int]


class KnownEmbeddings:
    """What is known of a shard's images; to be asked in order of their positions.

    Args:
        path: the shard's file, as `find_known` leaves it; there need be none.
        dim: length of a vector.
    """

    def __init__(self, path: str, dim: int) -> None:
        self._rows = read_known(path, dim) if files.exists(path) else iter(())
        self._next = next(self._rows, None)

    def get(self, position: int, content_hash: str) -> Embedding | None:
        """What is known of the image at a position, by its SHA-256 in hexadecimal; None if it is new."""
        while self._next is not None and self._next["position"] < position:
            self._next = next(self._rows, None)
        known = self._next
        if known is None or known["position"] != position or known["content"] != content_hash.encode():
            return None
        return Embedding(known["vector"], [int(known["width"]), int(known["height"])])


def read_known(path: str, dim: int) -> Iterator[Any]:
    """What is known of a shard's images, in order of their positions: records of `_record`. Raises OSError."""
    record = _record(dim)
    with files.open_read(path) as file:
        while data := file.read(_BATCH * record.itemsize):
            yield from np.frombuffer(data, record)


def find_known(
    store: str,
    notes: Sequence[EmbeddedShard],
    shards: Sequence[Shard],
    run_folder: str,
    dim: int,
    max_pixels: int,
) -> None:
    """Leaves each shard a file of the embeddings that the store has of its images, if there are any.

    Where several embedding files hold a content, the last one's is taken. One that is damaged is not used. An image
    above the limit is not known: whoever decodes it refuses it. DuckDB sees keys and places only; vectors go from
    their files straight to the places that the sorted keys have, in one file on the disk.

    Args:
        store: folder of the store.
        notes: the embedding files of the encoder, in a fixed order.
        shards: those whose contents were read.
        run_folder: of the run, in which they lie.
        dim: length of a vector.
        max_pixels: largest width x height.

    Raises:
        OSError: if a file system fails.
    """
    spill = None if files.is_remote(run_folder) else run_folder
    with database(spill, MEMORY) as connection, tempfile.TemporaryFile(dir=spill) as records:
        connection.execute(_TABLES)
        take_rows(connection, "INSERT INTO wanted FROM batches", _WANTED, _contents_of(shards, run_folder))
        held = (
            f"INSERT INTO held SELECT file, row, key FROM batches WHERE width::BIGINT * height <= {max_pixels} "
            "AND key IN (SELECT key FROM wanted)"
        )
        take_rows(connection, held, _HELD, _columns_of(store, notes))
        connection.execute(
            "CREATE TABLE slots AS SELECT shard, position, key FROM wanted "
            "WHERE key IN (SELECT key FROM held) ORDER BY shard, position"
        )
        while damaged := _lay_down(connection, store, notes, records, dim):
            connection.execute("DELETE FROM held WHERE file IN (SELECT unnest($files))", {"files": damaged})
        _hand_out(connection, shards, run_folder, records, dim)


def _contents_of(shards: Sequence[Shard], run_folder: str) -> Iterator[pa.RecordBatch]:
    for number, shard in enumerate(shards):
        with files.open_read(run_file(run_folder, "contents", shard)) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["position", "content_hash"]):
                numbers = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
                columns = [numbers, batch["position"], _keys(_digests(batch))]
                yield pa.record_batch(columns, schema=_WANTED)


def _columns_of(store: str, notes: Sequence[EmbeddedShard]) -> Iterator[pa.RecordBatch]:
    """Row and content of everything in the embedding files; of a damaged one what can be read."""
    for number, note in enumerate(notes):
        try:
            row = 0
            for batch in _batches(store, note, ["content_hash", "width", "height"]):
                numbers = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
                rows = pa.array(np.arange(row, row + len(batch)))
                columns = [numbers, rows, _keys(_digests(batch)), batch["width"], batch["height"]]
                yield pa.record_batch(columns, schema=_HELD)
                row += len(batch)
        except (_DamagedError, pa.ArrowException, ValueError, TypeError):  # also columns of other types
            _warn(note)


def _digests(batch: pa.RecordBatch) -> np.ndarray:
    """The column of digests, 64 bytes each: as bytes, because text of a damaged file may be no UTF-8."""
    return np.array(batch["content_hash"].cast(pa.binary()).to_pylist(), "S64")


def _keys(digests: np.ndarray) -> np.ndarray:
    """The first 64 bits of each digest, uint64."""
    nibbles = _NIBBLES[digests.view(np.uint8).reshape(-1, 64)[:, :16]]
    return (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).view(">u8").ravel().astype(np.uint64)


class _DamagedError(Exception):
    """An embedding file that cannot be read as one."""


def _batches(store: str, note: EmbeddedShard, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with files.open_read(files.join(store, note.path)) as file:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            yield from parquet.iter_batches(_BATCH, columns=columns, use_threads=False)
    except FileNotFoundError:
        raise _DamagedError from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        # What pyarrow finds wrong has no number, unlike what a file system reports.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _DamagedError from None


def _warn(note: EmbeddedShard) -> None:
    logger.warning("%s is damaged and not used again: what only it holds is embedded anew", note.path)


def _lay_down(
    connection: duckdb.DuckDBPyConnection,
    store: str,
    notes: Sequence[EmbeddedShard],
    records: IO[bytes],
    dim: int,
) -> list[int]:
    """Writes what is known to its places; gives the embedding files that were damaged."""
    connection.execute(
        "CREATE OR REPLACE TABLE chosen AS SELECT file, row, slots.rowid AS slot, position FROM slots JOIN ("
        "SELECT key, max(file) AS file, arg_max(row, file) AS row FROM held GROUP BY key"
        ") USING (key) ORDER BY file, row, slot"
    )
    damaged = []
    for (number,) in connection.execute("SELECT DISTINCT file FROM chosen ORDER BY file").fetchall():
        note = notes[number]
        chosen = connection.execute("FROM chosen WHERE file = ? ORDER BY row, slot", [number]).fetchnumpy()
        try:
            if not is_whole(store, note.path, note.sha256):
                raise _DamagedError
            _lay_down_file(store, note, chosen, records, dim)
        except _DamagedError:
            _warn(note)
            damaged.append(number)
    return damaged


def _lay_down_file(
    store: str, note: EmbeddedShard, chosen: dict[str, np.ndarray], records: IO[bytes], dim: int
) -> None:
    start = 0
    for batch in _batches(store, note, ["content_hash", "width", "height", "embedding"]):
        first, last = np.searchsorted(chosen["row"], [start, start + len(batch)])
        rows = chosen["row"][first:last] - start
        start += len(batch)
        laid = np.zeros(len(rows), _record(dim))
        laid["position"] = chosen["position"][first:last]
        laid["content"] = _digests(batch)[rows]
        laid["width"], laid["height"] = (batch[side].to_numpy()[rows] for side in ("width", "height"))
        laid["vector"] = batch["embedding"].flatten().to_numpy().reshape(-1, dim)[rows]
        slots = chosen["slot"][first:last]
        cuts = [0, *(np.flatnonzero(np.diff(slots) != 1) + 1).tolist(), len(slots)]
        for one, other in pairwise(cuts if len(slots) else ()):
            records.seek(int(slots[one]) * laid.itemsize)
            records.write(laid[one:other].tobytes())


def _hand_out(
    connection: duckdb.DuckDBPyConnection,
    shards: Sequence[Shard],
    run_folder: str,
    records: IO[bytes],
    dim: int,
) -> None:
    """Gives each shard its part of the records, but for places that were left empty."""
    record = _record(dim)
    counts = connection.execute("SELECT shard, count(*) FROM slots GROUP BY shard ORDER BY shard").fetchall()
    records.truncate(sum(count for _, count in counts) * record.itemsize)  # the last may be empty
    records.seek(0)
    for number, left in counts:
        with files.write_atomic(run_file(run_folder, "known", shards[number])) as file:
            for most in [_BATCH] * (left // _BATCH) + [left % _BATCH]:
                known = np.frombuffer(records.read(most * record.itemsize), record)
                file.write(known[known["content"] != b""].tobytes())
