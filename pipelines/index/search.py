"""Asks many index shards at once and merges their answers on exact scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import IndexManifest, Metric
from .conditions import NO_CONDITIONS, Conditions
from .nearest import nearest_in
from .ordering import Candidates, first_of, gather
from .shard import IndexShard
from .shown import gone_from


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
    conditions: Conditions = NO_CONDITIONS,
    columns: pa.Table | None = None,
    marks_own: bool = False,
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
        conditions: that matches meet, diversity aside. `k` are found as long as so many meet them.
        columns: of the queries, a row for each, for filters; None for none.
        marks_own: put the item that a query skips before all others; see `own_groups`.

    Raises:
        LookalikeError: for shards that do not go together, for a filter that is none, and as `Searcher.search`.
    """
    _check_together(shards)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if skip is not None and len(skip) != len(queries):
        raise LookalikeError(f"Expected {len(queries)} ids to skip, one a query. Received: {len(skip)}")
    best: Candidates | None = None
    for number, shard in enumerate(shards):
        found = nearest_in(
            shard, number, queries, k, exact, gone_from(shard, excluded), skip, conditions, columns
        )
        parts = [found] if best is None else [best, found]
        if marks_own:
            assert skip is not None
            parts.append(_marked(shard, number, skip))
        best = found if len(parts) == 1 else first_of(shards, parts, k, conditions.grouping)
    assert best is not None
    return _matches(best, shards[0].manifest.metric)


def _marked(shard: IndexShard, number: int, own: Sequence[str | None] | pa.Array) -> Candidates:
    """The item with each query's own id, if this shard has it, nearer than all others."""
    row = shard.rows_of(own if isinstance(own, pa.Array) else pa.array(own, pa.string()))[:, None]
    near = np.where(row >= 0, np.float32(np.inf), np.float32(-np.inf))
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
