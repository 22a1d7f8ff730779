"""Asks many index shards at once and merges their answers on exact scores."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import IndexManifest, Metric
from .ordering import ROUNDING, Candidates, by_nearness, first_of, gather
from .scores import checked, nearness, pair_scores
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

    Ordered by score; equal scores by `item_id` as UTF-8 bytes. Each shard is asked for itself, and what is found is
    scored by one formula: so the answer depends neither on the order of the shards, nor on which of them are asked
    together (see `answers.merged`), nor, if exact, on how items are spread over them.

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
    best: Candidates | None = None
    for number, shard in enumerate(shards):
        found = _nearest_in(shard, number, queries, k, exact, ShownItems(shard, excluded, skip))
        best = found if best is None else first_of(shards, [best, found], k)
    assert best is not None
    return _matches(best, shards[0].manifest.metric)


def _nearest_in(
    shard: IndexShard, number: int, queries: np.ndarray, k: int, exact: bool, shown: ShownItems
) -> Candidates:
    """The `k` nearest items of one shard, in order.

    A query whose k-th place is tied, or that lost places to what does not appear, is asked again for twice as many
    until settled.

    Args:
        number: what the candidates call the shard.
    """
    metric = shard.manifest.metric
    radius = shard.searcher.radius if metric == "euclidean" else 1.0
    shape = (len(queries), min(k, len(shard.items)))
    near, row = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    # Twice what is lost on average to what does not appear, so that few have to be asked again.
    fetch = k + 1 + shown.skips + math.ceil(2 * k * shown.hidden)
    pending = np.arange(len(queries))
    while len(pending):
        unsettled = []
        step = max(1, _CANDIDATES // fetch)
        for start in range(0, len(pending), step):
            block = pending[start : start + step]
            found, horizon = _ask(shard, queries[block], fetch, exact, shown, block)
            settled = _settled(horizon, kth_nearness(shown, found, block, k), metric, radius)
            unsettled.append(block[~settled])
            found, block = _only(found, settled), block[settled]
            if shown.has_copies:
                found = items_of(shown, found, block, k)
            found = first_of([shard], [found], k)
            near[block, : found.near.shape[1]], row[block, : found.row.shape[1]] = found.near, found.row
        pending = np.concatenate(unsettled)
        fetch *= 2
    return Candidates(near, np.full(row.shape, number), row)


def _check_together(shards: Sequence[IndexShard]) -> None:
    if not shards:
        raise LookalikeError("Expected at least one index shard to search. Received: none")
    check_alike([shard.manifest for shard in shards])
    first = shards[0]
    for number, shard in enumerate(shards[1:], 1):
        if not first.items.schema.equals(shard.items.schema):
            raise LookalikeError(
                "Expected index shards with the same columns. "
                f"Received: {_columns(first)} and, in shard {number}, {_columns(shard)}"
            )


def check_alike(manifests: Sequence[IndexManifest]) -> None:
    """Raises LookalikeError unless index shards are of one metric, dimension and encoder."""
    for number, manifest in enumerate(manifests[1:], 1):
        for what in ("metric", "dim", "encoder_fingerprint"):
            ours, theirs = getattr(manifests[0], what), getattr(manifest, what)
            if ours != theirs:
                raise LookalikeError(
                    f"Expected index shards of one {what}. Received: {ours} and, in shard {number}, {theirs}"
                )


def _columns(shard: IndexShard) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in shard.items.schema)


def _ask(
    shard: IndexShard, queries: np.ndarray, fetch: int, exact: bool, shown: ShownItems, positions: np.ndarray
) -> tuple[Candidates, np.ndarray]:
    """Up to `fetch` vectors of a shard, nearest first; those without an item that may appear are left out.

    Beside them how near one can be that is not named: float32 (q,).

    Args:
        positions: int64 (q,), of these queries among all.
    """
    metric = shard.manifest.metric
    searcher = shard.searcher
    width = min(fetch, len(searcher))
    row, score = searcher.search(queries, max(1, width), exact=exact)
    if not exact:
        # ScaNN's score of a pair differs in the last bit with its position and with the queries around it (0.4 % and
        # 0.001 % of pairs, measured). Scoring all again takes 12 of 290 ms for 10,000 queries.
        score = pair_scores(searcher.vectors, checked(queries, metric), row, metric, searcher.threads)
    near = nearness(score, metric)
    horizon = np.full(len(queries), -np.inf, np.float32)
    if width < len(searcher):
        horizon = np.where(np.isneginf(near), np.float32(np.inf), near).min(axis=1)
    if not shown.all_shown:
        near[shown.counts(positions, row) == 0] = -np.inf
    return by_nearness(Candidates(near, np.zeros(row.shape, np.int64), row)), horizon


def _settled(horizon: np.ndarray, kth: np.ndarray, metric: Metric, radius: float) -> np.ndarray:
    """Queries whose first k are surely nearer than everything that was not fetched. Bool (queries,).

    Args:
        horizon: how near what was not fetched can be, float32 (queries,), -inf where all was.
        kth: how near the k-th item is, float32 (queries,), -inf where there are fewer.
    """
    everything = np.isneginf(horizon)
    kth, horizon = kth.astype(np.float64), horizon.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        if metric == "cosine":
            clear = kth - horizon > ROUNDING
        else:
            clear = horizon**2 - kth**2 > ROUNDING * (radius**2 + (radius - kth) ** 2)
    return everything | (clear & np.isfinite(kth))


def _only(found: Candidates, queries: np.ndarray) -> Candidates:
    if queries.all():
        return found
    return Candidates(found.near[queries], found.shard[queries], found.row[queries])


def _matches(found: Candidates, metric: Metric) -> Matches:
    near = found.near
    held = ~np.isneginf(near)
    rank = np.broadcast_to(np.arange(1, near.shape[1] + 1, dtype=np.int32), near.shape)
    query = np.repeat(np.arange(len(near)), held.sum(axis=1))
    score = near if metric == "cosine" else -near
    return Matches(query, rank[held], found.shard[held], found.row[held], score[held])


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
