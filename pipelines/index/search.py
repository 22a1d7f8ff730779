"""Asks many index shards at once and merges their answers on exact scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import Metric
from .ordering import ROUNDING, Candidates, by_nearness, gather, level_ties, ties_by_id
from .scores import nearness
from .shard import IndexShard
from .shown import ShownItems, items_of, kth_nearness

_CANDIDATES = 1 << 23
"""Candidates held at once (some 40 bytes each), which bounds memory when many queries need a deep search."""


@dataclass(frozen=True)
class Matches:
    """The nearest items of each query: parallel arrays, sorted by query, then rank.

    Attributes:
        query: int64 (m,), position of the query.
        rank: int32 (m,), from 1.
        shard: int64 (m,), position of the shard.
        row: int64 (m,), row of that shard's items.
        score: float32 (m,), cosine or euclidean distance.
    """

    query: np.ndarray
    rank: np.ndarray
    shard: np.ndarray
    row: np.ndarray
    score: np.ndarray


def search(
    shards: Sequence[IndexShard],
    queries: np.ndarray,
    k: int,
    *,
    exact: bool = False,
    excluded: Collection[str] | pa.Array = (),
    skip: Sequence[str | None] | pa.Array | None = None,
) -> Matches:
    """The `k` nearest items of each query over all shards.

    Ordered by score; equal scores by `item_id` as UTF-8 bytes. A query whose k-th place is tied, or that lost
    places to `excluded` or `skip`, is asked again for twice as many until settled. So the answer depends
    neither on the order of the shards nor, if exact, on how items are spread over them.

    Args:
        shards: of one metric, dimension and encoder.
        queries: float32 (q, dim).
        k: results a query, at least 1; fewer come only if the shards hold fewer.
        exact: compare with every vector.
        excluded: ids of items that never appear.
        skip: an id for each query, or None, that does not appear in that query's result.

    Raises:
        LookalikeError: for shards that do not go together, and as `Searcher.search`.
    """
    _check_together(shards)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if skip is not None and len(skip) != len(queries):
        raise LookalikeError(f"Expected {len(queries)} ids to skip, one a query. Received: {len(skip)}")
    shown = [ShownItems(shard, excluded, skip) for shard in shards]
    metric = shards[0].manifest.metric
    radius = max(s.searcher.radius for s in shards) if metric == "euclidean" else 1.0
    fetch = k + 1 + (skip is not None)
    pending = np.arange(len(queries))
    parts: list[Matches] = []
    while len(pending) or not parts:
        unsettled = []
        step = max(1, _CANDIDATES // (fetch * len(shards)))
        for start in range(0, max(1, len(pending)), step):
            block = pending[start : start + step]
            found = _ask(shards, queries[block], fetch, exact, shown, block)
            settled = _settled(found, kth_nearness(shown, found, block, k), metric, radius)
            unsettled.append(block[~settled])
            found, block = _only(found, settled), block[settled]
            if any(items.has_copies for items in shown):
                found = items_of(shown, found, block, k)
            parts.append(_matches(shards, found, block, k, metric))
        pending = np.concatenate(unsettled)
        fetch *= 2
    return _joined(parts)


def _check_together(shards: Sequence[IndexShard]) -> None:
    if not shards:
        raise LookalikeError("Expected at least one index shard to search. Received: none")
    first = shards[0]
    for number, shard in enumerate(shards[1:], 1):
        for what in ("metric", "dim", "encoder_fingerprint"):
            ours, theirs = getattr(first.manifest, what), getattr(shard.manifest, what)
            if ours != theirs:
                raise LookalikeError(
                    f"Expected index shards of one {what}. Received: {ours} and, in shard {number}, {theirs}"
                )
        if not first.items.schema.equals(shard.items.schema):
            raise LookalikeError(
                "Expected index shards with the same columns. "
                f"Received: {_columns(first)} and, in shard {number}, {_columns(shard)}"
            )


def _columns(shard: IndexShard) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in shard.items.schema)


def _ask(
    shards: Sequence[IndexShard],
    queries: np.ndarray,
    fetch: int,
    exact: bool,
    shown: Sequence[ShownItems],
    positions: np.ndarray,
) -> Candidates:
    """Up to `fetch` vectors of every shard, nearest first; those without an item that may appear are left out.

    Args:
        positions: int64 (q,), of these queries among all.
    """
    metric = shards[0].manifest.metric
    horizon = np.full(len(queries), -np.inf, np.float32)
    nears, rows = [], []
    for shard, items in zip(shards, shown, strict=True):
        width = min(fetch, len(shard.searcher))
        row, score = shard.searcher.search(queries, max(1, width), exact=exact)
        near = nearness(score, metric)
        if width < len(shard.searcher):
            last = np.where(np.isneginf(near), np.float32(np.inf), near).min(axis=1)
            np.maximum(horizon, last, out=horizon)
        if not items.all_shown:
            near[items.counts(positions, row) == 0] = -np.inf
        nears.append(near)
        rows.append(row)
    shard_of = np.repeat(np.arange(len(shards)), [n.shape[1] for n in nears])
    near, row = np.concatenate(nears, axis=1), np.concatenate(rows, axis=1)
    found = Candidates(near, np.broadcast_to(shard_of, row.shape), row, horizon)
    if len(shards) > 1 or not all(items.all_shown for items in shown):
        found = by_nearness(found)
    return found if exact else level_ties(shards, queries, found, metric)


def _settled(found: Candidates, kth: np.ndarray, metric: Metric, radius: float) -> np.ndarray:
    """Queries whose first k are surely nearer than everything that was not fetched. Bool (queries,).

    Args:
        kth: how near the k-th item is, float32 (queries,), -inf where there are fewer.
    """
    everything = np.isneginf(found.horizon)
    kth, horizon = kth.astype(np.float64), found.horizon.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if metric == "cosine":
            clear = kth - horizon > ROUNDING
        else:
            clear = horizon**2 - kth**2 > ROUNDING * (radius**2 + (radius - kth) ** 2)
    return everything | (clear & np.isfinite(kth))


def _only(found: Candidates, queries: np.ndarray) -> Candidates:
    if queries.all():
        return found
    return Candidates(found.near[queries], found.shard[queries], found.row[queries], found.horizon[queries])


def _matches(
    shards: Sequence[IndexShard], found: Candidates, query: np.ndarray, k: int, metric: Metric
) -> Matches:
    near, shard, row = ties_by_id(shards, found)
    near, shard, row = near[:, :k], shard[:, :k], row[:, :k]
    held = ~np.isneginf(near)
    rank = np.broadcast_to(np.arange(1, near.shape[1] + 1, dtype=np.int32), near.shape)
    score = near if metric == "cosine" else -near
    return Matches(np.repeat(query, held.sum(axis=1)), rank[held], shard[held], row[held], score[held])


def _joined(parts: list[Matches]) -> Matches:
    if len(parts) == 1:
        return parts[0]
    query = np.concatenate([p.query for p in parts])
    order = np.argsort(query, kind="stable")
    return Matches(
        query[order],
        np.concatenate([p.rank for p in parts])[order],
        np.concatenate([p.shard for p in parts])[order],
        np.concatenate([p.row for p in parts])[order],
        np.concatenate([p.score for p in parts])[order],
    )


def vectors_by_id(shards: Sequence[IndexShard], ids: pa.Array) -> np.ndarray:
    """Vectors of the items with these ids, float32 (ids, dim); NaN for an id that no shard has."""
    vectors = np.full((len(ids), shards[0].manifest.dim), np.nan, np.float32)
    for shard in shards:
        rows = shard.rows_of(ids)
        vectors[rows >= 0] = shard.vectors_of(rows[rows >= 0])
    return vectors


def take_items(shards: Sequence[IndexShard], matches: Matches) -> pa.Table:
    """`item_id` and the metadata columns of matches, row i belonging to match i.

    Raises:
        LookalikeError: if the shards' columns differ.
    """
    _check_together(shards)
    names = shards[0].items.column_names
    columns = [gather(shards, matches.shard, matches.row, name) for name in names]
    return pa.table(columns, schema=shards[0].items.schema)
