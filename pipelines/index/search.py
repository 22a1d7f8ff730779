"""Asks many index shards at once and merges their answers on exact scores."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import IndexManifest, Metric
from .among import nearest_among
from .conditions import NO_CONDITIONS, Conditions
from .groups import Groups
from .ordering import ROUNDING, Candidates, by_nearness, first_of, gather, within_groups
from .passing import by_filter
from .scores import checked, nearness, pair_scores
from .shard import IndexShard
from .shown import ShownItems, gone_from, items_of
from .tuning import Shape, cost, depth_for, is_exact

_CANDIDATES = 1 << 23
"""Candidates held at once (some 40 bytes each), which bounds memory when many queries need a deep search."""


_DEEPER = 3
"""Times the vectors that hold k matches on average, where a filter lets some pass."""
_IN_ORDER = 4
"""Bytes of vectors that are compared in order for many queries, at the price of one of `tuning.cost`."""


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

    Raises:
        LookalikeError: for shards that do not go together, for a filter that is none, and as `Searcher.search`.
    """
    _check_together(shards)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if skip is not None and len(skip) != len(queries):
        raise LookalikeError(f"Expected {len(queries)} ids to skip, one a query. Received: {len(skip)}")
    best: Candidates | None = None
    for number, shard in enumerate(shards):
        found = _found_in(
            shard, number, queries, k, exact, gone_from(shard, excluded), skip, conditions, columns
        )
        best = found if best is None else first_of(shards, [best, found], k, conditions.grouping)
    assert best is not None
    return _matches(best, shards[0].manifest.metric)


def _found_in(
    shard: IndexShard,
    number: int,
    queries: np.ndarray,
    k: int,
    exact: bool,
    gone: np.ndarray,
    skip: Sequence[str | None] | pa.Array | None,
    conditions: Conditions,
    columns: pa.Table | None,
) -> Candidates:
    """The `k` nearest items of one shard that meet the conditions, in order; queries with one filter at a time.

    Args:
        number: what the candidates call the shard.
        gone: rows of items that never appear.
    """
    shape = (len(queries), min(k, len(shard.items)))
    near, row = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    grouping = conditions.grouping
    groups = None if grouping is None else Groups(shard.items[grouping.field], grouping.per_group)
    floor = conditions.floor(shard.manifest.metric)
    for positions, passing in by_filter(shard, conditions.where, columns, len(queries)):
        one = len(positions) == len(queries)
        skipped = skip if skip is None or one else [_at(skip, place) for place in positions.tolist()]
        shown = ShownItems(shard, gone, skipped, passing, groups)
        wanted = _Wanted(k, exact, floor, groups)
        near[positions], row[positions] = _nearest_in(
            shard, queries if one else queries[positions], wanted, shown
        )
    return Candidates(near, np.full(row.shape, number), row)


def _at(ids: Sequence[str | None] | pa.Array, place: int) -> str | None:
    found = ids[place]
    return found.as_py() if isinstance(found, pa.Scalar) else found


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of a shard: `k` items, no farther than `floor`, of each group a few."""

    k: int
    exact: bool
    floor: np.float32
    groups: Groups | None


def _nearest_in(
    shard: IndexShard, queries: np.ndarray, wanted: _Wanted, shown: ShownItems
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest items of one shard, in order: near and row, (q, w).

    A query whose last place is tied, or that lost places to what does not appear, is asked again for twice as many
    until settled.
    """
    k, metric = wanted.k, shard.manifest.metric
    radius = shard.searcher.radius if metric == "euclidean" else 1.0
    shape = (len(queries), min(k, len(shard.items)))
    near, row = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    most = shown.most(np.arange(len(queries)), k)
    fetch = _first_fetch(shard, k, shown)
    among = _is_among_cheaper(shard, shown, fetch, wanted.exact)
    if among:
        fetch = k + 1 + shown.skips
        radius *= 2  # of those that pass, seen from their own mean
    pending = np.arange(len(queries))
    while len(pending):
        unsettled = []
        step = max(1, _CANDIDATES // fetch)
        for start in range(0, len(pending), step):
            block = pending[start : start + step]
            found, horizon = _ask(shard, queries[block], fetch, wanted, shown, block, among)
            found = _first_items(shard, found, block, wanted, shown)
            last = np.full(len(block), -np.inf, np.float32)
            full = (most[block] > 0) & (most[block] <= found.near.shape[1])
            last[full] = found.near[full, most[block][full] - 1]
            settled = (most[block] == 0) | _settled(horizon, np.maximum(last, wanted.floor), metric, radius)
            unsettled.append(block[~settled])
            block, width = block[settled], found.near.shape[1]
            near[block, :width], row[block, :width] = found.near[settled], found.row[settled]
        pending = np.concatenate(unsettled)
        fetch *= 2
        if not among and _is_among_cheaper(shard, shown, fetch, wanted.exact):
            among, fetch, radius = True, k + 1 + shown.skips, 2 * radius
    return near, row


def _first_fetch(shard: IndexShard, k: int, shown: ShownItems) -> int:
    """How many vectors are asked for at first."""
    if shown.filtered:
        # Half of them count (see `_ask`), and as many again for queries around which fewer pass.
        share = max(1, len(shown.numbers)) / max(1, len(shard.searcher))
        return math.ceil(_DEEPER * (k + 1 + shown.skips) / share)
    # Twice what is lost on average to what does not appear, so that few have to be asked again.
    fetch = k + 1 + shown.skips + math.ceil(2 * k * shown.hidden)
    return 2 * fetch if shown.in_groups else fetch


def _first_items(
    shard: IndexShard, found: Candidates, queries: np.ndarray, wanted: _Wanted, shown: ShownItems
) -> Candidates:
    """The first items among vectors, in order."""
    if shown.has_copies:
        found = items_of(shown, found, queries, wanted.k)
    if wanted.groups is None:
        return first_of([shard], [found], wanted.k)
    found = first_of([shard], [found], found.near.shape[1])
    codes = wanted.groups.codes[found.row] if len(wanted.groups.codes) else found.row
    return within_groups(found, codes, wanted.groups.per_group, wanted.k)


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
    shard: IndexShard,
    queries: np.ndarray,
    fetch: int,
    wanted: _Wanted,
    shown: ShownItems,
    positions: np.ndarray,
    among: bool,
) -> tuple[Candidates, np.ndarray]:
    """Up to `fetch` vectors of a shard, nearest first; those without an item that may appear are left out.

    Beside them how near one can be that is not named: float32 (q,).

    Where a filter or a limit to groups lets pass what is far from the query, the last of what an approximate search
    finds decide, and of those it misses more than of the first; so what it finds is relied on for the nearer half.

    Args:
        positions: int64 (q,), of these queries among all.
        among: whether they are compared with all that pass the filter.
    """
    metric = shard.manifest.metric
    searcher = shard.searcher
    held = len(shown.numbers) if among else len(searcher)
    width = min(fetch, held)
    if among:
        row, score = nearest_among(searcher, shown.numbers, checked(queries, metric), max(1, width))
    else:
        row, score = searcher.search(queries, max(1, width), exact=wanted.exact)
    if not wanted.exact and not among:
        # ScaNN's score of a pair differs in the last bit with its position and with the queries around it (0.4 % and
        # 0.001 % of pairs, measured). Scoring all again takes 12 of 290 ms for 10,000 queries.
        score = pair_scores(searcher.vectors, checked(queries, metric), row, metric, searcher.threads)
    near = nearness(score, metric)
    horizon = np.full(len(queries), -np.inf, np.float32)
    if width < held:
        halved = (shown.filtered and not among) or (shown.in_groups and not wanted.exact)
        counted = near[:, : max(1, width // 2)] if halved else near
        horizon = np.where(np.isneginf(counted), np.float32(np.inf), counted).min(axis=1)
    if not shown.all_shown:
        near[shown.counts(positions, row) == 0] = -np.inf
    near[near < wanted.floor] = -np.inf
    return by_nearness(Candidates(near, np.zeros(row.shape, np.int64), row)), horizon


def _is_among_cheaper(shard: IndexShard, shown: ShownItems, fetch: int, exact: bool) -> bool:
    """Whether comparing with all vectors that pass a filter costs less than finding `fetch` of all vectors."""
    if not shown.filtered:
        return False
    searcher = shard.searcher
    depth = None if exact or is_exact(len(searcher), fetch) else depth_for(searcher.settings, fetch)
    if depth is None:
        return True
    leaves, candidates = depth
    shape = Shape(len(searcher), searcher.dim, searcher.parameters.leaves)
    approximate = cost(shape, min(leaves, shape.leaves), max(candidates, fetch))
    return len(shown.numbers) * searcher.dim * 4 <= _IN_ORDER * approximate


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
