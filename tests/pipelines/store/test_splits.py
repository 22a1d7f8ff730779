"""What belongs to which part."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from lookalike.store.splits import (
    IDS,
    KEYS,
    digests_of,
    id_rows,
    key_rows,
    keys_of,
    part_of,
    part_of_ids,
    parts_for,
)


def test_an_id_has_one_part_everywhere_and_parts_are_about_as_large():
    held = pa.array([f"photographs/{number:09}.jpg" for number in range(20_000)])
    part = part_of_ids(held, 7)
    assert set(np.bincount(part) // 100) <= set(range(27, 31))
    assert (part_of_ids(held.take(pa.array([5, 1])), 7) == part[[5, 1]]).all()
    # Measured once: workers of one run may be of several versions.
    assert part_of_ids(pa.array(["a", "b", "\U0001f41f", ""]), 5).tolist() == [2, 1, 0, 0]
    assert part_of_ids(held, 1).tolist() == [0] * len(held)


def test_a_part_is_compared_at_once_so_there_are_more_of_them_in_a_large_corpus():
    assert [parts_for(ids) for ids in (0, 1, 4_000_000, 4_000_001, 10**9)] == [1, 1, 1, 2, 256]


def test_a_key_is_the_first_64_bits_of_a_digest():
    digests = [hashlib.sha256(b"1").hexdigest(), "f" * 64, "0" * 15 + "1" * 49]
    assert keys_of(np.array(digests, "S64")).tolist() == [int(digests[0][:16], 16), 2**64 - 1, 1]


def test_digests_are_those_of_the_rows_of_a_batch_that_is_a_slice_and_of_damaged_ones_what_there_is():
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(9)]
    batch = pa.record_batch({"content_hash": digests})
    assert digests_of(batch.slice(2, 5)).tolist() == [d.encode() for d in digests[2:7]]
    assert digests_of(batch.slice(9)).tolist() == []
    assert digests_of(pa.record_batch({"content_hash": pa.array([], pa.string())})).tolist() == []
    damaged = pa.record_batch({"content_hash": [digests[0][:-1], digests[1]]})
    assert digests_of(damaged).tolist() == [digests[0][:-1].encode(), digests[1].encode()]


def test_rows_tell_where_they_are_from():
    sides = {"width": pa.array([65_536, 2], pa.int32()), "height": pa.array([65_536, 3], pa.int32())}
    batch = pa.record_batch({"content_hash": ["f" * 64, "0" * 64], **sides})
    assert key_rows(batch, 7, 40).to_pylist() == [
        {"key": 2**64 - 1, "file": 7, "row": 40, "pixels": 1 << 32},
        {"key": 0, "file": 7, "row": 41, "pixels": 6},
    ]
    assert id_rows(pa.array(["a"]), 7).to_pylist() == [{"item_id": "a", "shard": 7}]


@pytest.mark.parametrize("schema", [IDS, KEYS])
def test_a_part_of_few_is_whole_parts_of_many(schema):
    """So a corpus that grew is compared with parts of the time before, and one that shrank too."""
    columns = {
        "item_id": [f"{n}.jpg" for n in range(1000)],
        "key": np.random.default_rng(1).integers(0, 2**64, 1000, np.uint64),
        "shard": np.zeros(1000, np.int32),
        "file": np.zeros(1000, np.int32),
        "row": np.arange(1000),
        "pixels": np.arange(1000),
    }
    batch = pa.record_batch([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
    for few, many in ((1, 4), (4, 8), (2, 64)):
        assert (part_of(batch, many) % few == part_of(batch, few)).all()
