"""What is read of embedding files for the whole of a corpus, and how it is split into parts.

A part is what one worker compares at once. Which one an id or a content belongs to is the same on every machine and in
every night: rows that were split last night are compared with those of tonight.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pyarrow as pa

IDS = pa.schema([("item_id", pa.string()), ("shard", pa.int32())])
"""An id, and the number of its embedding file."""
KEYS = pa.schema([("key", pa.uint64()), ("file", pa.int32()), ("row", pa.int64()), ("pixels", pa.int64())])
"""A content, the number of its embedding file, its row there, and width x height of the original.

A key is the first 64 bits of a digest: two images that share it are told apart by who uses it, who compares the whole.
"""
OF_CONTENT = ("content_hash", "width", "height")
"""Columns of an embedding file that `key_rows` reads."""
PART = 4_000_000
"""Rows of a part at most: of ids of usual length some 400 MB."""
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[list(b"0123456789abcdef")] = range(16)


def parts_for(rows: int) -> int:
    """Into how many parts so many rows are split: a power of two, so that a part of few is whole parts of many."""
    return 1 << max(0, -(-rows // PART) - 1).bit_length()


def part_of_ids(ids: pa.Array, parts: int) -> np.ndarray:
    """The part that each id belongs to: int64 (ids,)."""
    if parts == 1:
        return np.zeros(len(ids), np.int64)
    return np.fromiter(map(crc32, ids.cast(pa.binary()).to_pylist()), np.int64, len(ids)) % parts


def part_of_keys(keys: np.ndarray, parts: int) -> np.ndarray:
    """The part that each key, uint64 (keys,), belongs to: int64 (keys,)."""
    return (keys % np.uint64(parts)).astype(np.int64)


def part_of(rows: pa.RecordBatch, parts: int) -> np.ndarray:
    """The part that each row of `IDS` or `KEYS` belongs to: int64 (rows,)."""
    if rows.schema.names == IDS.names:
        return part_of_ids(rows["item_id"], parts)
    return part_of_keys(rows["key"].to_numpy(), parts)


def id_rows(ids: pa.Array, file: int) -> pa.RecordBatch:
    """Rows of `IDS`."""
    return pa.record_batch([ids, pa.repeat(pa.scalar(file, pa.int32()), len(ids))], schema=IDS)


def key_rows(batch: pa.RecordBatch, file: int, first: int) -> pa.RecordBatch:
    """Rows of `KEYS` from those of an embedding file, the first of which is its row `first`.

    Raises:
        ValueError, TypeError, pa.ArrowException: if they are none.
    """
    width, height = (batch[side].to_numpy().astype(np.int64) for side in ("width", "height"))
    keys = keys_of(digests_of(batch))
    files = pa.repeat(pa.scalar(file, pa.int32()), len(keys))
    return pa.record_batch([keys, files, np.arange(first, first + len(keys)), width * height], schema=KEYS)


def digests_of(batch: pa.RecordBatch) -> np.ndarray:
    """The column of digests, 64 bytes each: as bytes, because text of a damaged file may be no UTF-8."""
    column = batch["content_hash"].cast(pa.binary())
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    if column.null_count or (np.diff(ends) != 64).any():  # of a damaged file
        return np.array(column.to_pylist(), "S64")
    return np.frombuffer(column.buffers()[2], "S64", len(column), ends[0])


def keys_of(digests: np.ndarray) -> np.ndarray:
    """The key of each digest: uint64 (digests,)."""
    nibbles = _NIBBLES[digests.view(np.uint8).reshape(-1, 64)[:, :16]]
    return (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).view(">u8").ravel().astype(np.uint64)
