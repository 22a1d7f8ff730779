"""Whether index shards fit into the memory of the workers that build them, known before any work."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lookalike.model.errors import LookalikeError

from ..store.notes import EmbeddedShard
from .inputs import hash_of

_PROCESS = 256 << 20
_COPIES = 5
_COPIES_OF_AUGMENTATION = 2
_A_VECTOR = 1500
"""What building takes: a process with its libraries, copies of the vectors, and bytes a vector for ids, ScaNN's codes
and the trials of recall. Measured peaks, in bytes a vector: 1,920 for 100,000 x 32, 2,040 with a title and a price;
6,600 for 50,000 and 5,940 for 200,000 x 256; 19,700 for 50,000 x 1,024."""
_PLACE = np.dtype([("hash", np.uint64), ("vectors", np.int64)])
"""Of an embedding file: the hash that decides its index shard, and how many vectors it holds."""


def memory_of(vectors: int, dim: int, augmented: bool = False) -> int:
    """Bytes that a worker takes to build an index shard, at most; what long texts of metadata take comes on top.

    Args:
        vectors: how many it holds.
        dim: their length.
        augmented: whether there is database augmentation.
    """
    return _PROCESS + vectors * _bytes_of_one(dim, augmented)


def check_sizes(
    notes: Iterable[EmbeddedShard], shards: int, dim: int, memory: int, augmented: bool = False
) -> None:
    """Refuses index shards that a worker's memory could not hold.

    Args:
        notes: the embedding files.
        shards: number of index shards.
        dim: length of a vector.
        memory: of a worker, in bytes.
        augmented: whether there is database augmentation.

    Raises:
        LookalikeError: if one would not fit, with `index.shard_vectors` that would.
    """
    places = np.fromiter(((hash_of(n.shard), n.embedded + n.reused) for n in notes), _PLACE)
    largest = _largest(places, shards)
    needed = memory_of(largest, dim, augmented)
    if needed <= memory:
        return
    most = (memory - _PROCESS) // _bytes_of_one(dim, augmented)
    raise LookalikeError(
        f"Expected index shards that fit into {_size(memory)} (index.worker_memory). Received: one of {largest:,} "
        f"vectors of {dim} numbers, which takes {_size(needed)}; {_advice(places, shards, most)}"
    )


def _bytes_of_one(dim: int, augmented: bool) -> int:
    return 4 * dim * (_COPIES + _COPIES_OF_AUGMENTATION * augmented) + _A_VECTOR


def _largest(places: np.ndarray, shards: int) -> int:
    """Vectors of the largest of so many index shards; `places` is of `_PLACE` (files,)."""
    number = (places["hash"] % np.uint64(shards)).astype(np.int64)
    return int(np.bincount(number, places["vectors"], shards).max())


def _advice(places: np.ndarray, shards: int, most: int) -> str:
    """What to do so that no index shard has more than `most` vectors."""
    total = int(places["vectors"].sum())
    while shards <= total:
        if _largest(places, shards) <= most:
            # With room to grow: beyond this number there will be twice as many, all of them built anew.
            return f"index.shard_vectors: {max(-(-total // shards), min(most, 3 * total // (2 * shards)))} would do"
        shards *= 2
    return (
        f"no number of index shards would do, as the largest image shard has {places['vectors'].max():,} vectors: make "
        "image shards smaller, or give workers more memory"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
