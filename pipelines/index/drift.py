"""Drift: how much of the answers to a fixed sample of queries changed since the last generation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from .search import search, take_items, vectors_by_id
from .shard import IndexShard

SAMPLE = 200
K = 10


def overlap(before: Sequence[IndexShard], after: Sequence[IndexShard]) -> float | None:
    """The mean fraction of the top 10 that two generations share, for items that are in both.

    Each generation is asked with its own vector of an item, which is left out of the answer; so a changed
    encoder shows, too.

    Args:
        before: index shards of the last generation.
        after: those of the new one.

    Returns:
        From 0 (nothing in common) to 1 (the same answers); None if no item is in both.
    """
    wanted = pa.chunked_array([_sample(shard, len(before)) for shard in before], pa.string()).combine_chunks()
    old, new = vectors_by_id(before, wanted), vectors_by_id(after, wanted)
    both = np.flatnonzero(np.isfinite(old).all(axis=1) & np.isfinite(new).all(axis=1))
    if not len(both):
        return None
    ids = wanted.take(pa.array(both))
    answers = [_answers(shards, vectors[both], ids) for shards, vectors in ((before, old), (after, new))]
    shared = [len(a & b) / max(len(a), len(b)) for a, b in zip(*answers, strict=True) if a or b]
    return float(np.mean(shared)) if shared else None


def _sample(shard: IndexShard, shards: int) -> pa.Array:
    count = len(shard.items)
    rows = np.unique(np.linspace(0, count - 1, min(count, -(-SAMPLE // shards))).astype(np.int64))
    return shard.item_ids.take(pa.array(rows))


def _answers(shards: Sequence[IndexShard], vectors: np.ndarray, ids: pa.Array) -> list[set[str]]:
    matches = search(shards, vectors, K, skip=ids)
    found = take_items(shards, matches)["item_id"].to_pylist()
    answers: list[set[str]] = [set() for _ in range(len(ids))]
    for query, item_id in zip(matches.query.tolist(), found, strict=True):
        answers[query].add(item_id)
    return answers
