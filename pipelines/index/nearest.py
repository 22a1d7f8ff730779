"""The nearest items of one index shard that meet conditions: as many as are wanted, as long as there are so many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..store.index_manifest import Metric
from .among import nearest_among
from .conditions import Conditions
from .groups import Groups
from .ordering import ROUNDING, Candidates, by_nearness, first_of, within_groups
from .passing import by_filter
from .scores import checked, nearness, pair_scores
from .shard import IndexShard
from .shown import ShownItems, items_of
from .slices import in_slices
from .tuning import Shape, cost, depth_for, is_exact

_CANDIDATES = 1 << 23
"""Candidates held at once (some 40 bytes each), which bounds memory when many queries need a deep search."""
_DEEPER = 3
"""Times the vectors that hold k matches on average, where a filter lets some pass."""
_IN_ORDER = 6
"""Bytes of vectors that are compared in order for many queries, at the price of one of `tuning.cost`.

Measured with 2,000 queries and 0.6 to 0.1 of 200,000 vectors of 256 dimensions: 6.3 to 11, mostly 8.5. For fewer than a
hundred queries, gathering the vectors costs more than comparing them. But how many are asked at once must not decide
what is found, so it is less than measured."""
_DEEP = 32
"""Times k, beyond which groups are searched one by one, and not all together for more and more."""


def nearest_in(
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
        if one:
            near, row = _nearest_in(shard, queries, wanted, shown)
        else:
            near[positions], row[positions] = _nearest_in(shard, queries[positions], wanted, shown)
    return Candidates(near, np.full(row.shape, number), row)


def _at(ids: Sequence[str | None] | pa.Array, place: int) -> str | None:
    found = ids[place]
    return found.as_py() if isinstance(found, pa.Scalar) else found


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of a shard: `k` items, no farther than `floor`, of each group a few.

    Attributes:
        k, exact, floor, groups: as they say.
        splits: whether groups may be searched one by one.
    """

    k: int
    exact: bool
    floor: np.float32
    groups: Groups | None
    splits: bool = True


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
    among = shown.filtered and _is_comparing_cheaper(shard, shown, fetch, wanted.exact)
    if among:
        fetch = k + 1 + shown.skips
        radius *= 2  # of those that pass, seen from their own mean

    def judge(places: np.ndarray, *found: np.ndarray) -> np.ndarray:
        """Puts what was found for some queries, whose places these are, in its place; gives those not settled."""
        candidates, horizon = _judged(shard, found, fetch, wanted, shown, places, among)
        first = _first_items(shard, candidates, places, wanted, shown)
        width = first.near.shape[1]
        last = np.full(len(places), -np.inf, np.float32)
        full = (most[places] > 0) & (most[places] <= width)
        last[full] = first.near[full, most[places][full] - 1]
        settled = (most[places] == 0) | _settled(horizon, np.maximum(last, wanted.floor), metric, radius)
        near[places[settled], :width], row[places[settled], :width] = first.near[settled], first.row[settled]
        return places[~settled]

    pending = np.arange(len(queries))
    while len(pending):
        unsettled: list[np.ndarray] = []
        step = max(1, _CANDIDATES // fetch)
        for start in range(0, len(pending), step):
            block = pending[start : start + step]
            asked = queries if len(block) == len(queries) else queries[block]
            found = _ask(shard, asked, fetch, wanted, shown, among)
            unsettled += in_slices(judge, shard.searcher.threads, block, asked, *found)
        pending = np.concatenate(unsettled)
        fetch *= 2
        if not among and shown.filtered and _is_comparing_cheaper(shard, shown, fetch, wanted.exact):
            among, fetch, radius = True, k + 1 + shown.skips, 2 * radius
        if shown.in_groups and wanted.splits and len(pending) and fetch > _DEEP * k:
            near[pending], row[pending] = _group_by_group(shard, queries[pending], wanted, shown, pending)
            break
    return near, row


def _group_by_group(
    shard: IndexShard, queries: np.ndarray, wanted: _Wanted, shown: ShownItems, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same, exactly, where few groups hold most items: a search of each large group, and one of all small ones."""
    shape = (len(queries), min(wanted.k, len(shard.items)))
    parts = []
    for k, part, groups in shown.split(shard, positions, wanted.k):
        of_part = _Wanted(k, True, wanted.floor, groups, splits=False)
        near, row = _nearest_in(shard, queries, of_part, part)
        parts.append(Candidates(near, np.zeros(row.shape, np.int64), row))
    assert wanted.groups is not None
    found = first_of([shard], parts, sum(one.near.shape[1] for one in parts))
    found = within_groups(found, wanted.groups.codes[found.row], wanted.groups.per_group, shape[1])
    return found.near, found.row


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


def _ask(
    shard: IndexShard, queries: np.ndarray, fetch: int, wanted: _Wanted, shown: ShownItems, among: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Up to `fetch` vectors of a shard for each query: rows and scores as `Searcher.search` gives them.

    Args:
        among: whether they are compared with all that pass the filter.
    """
    width = max(1, min(fetch, _held(shard, shown, among)))
    if among:
        queries = checked(queries, shard.manifest.metric)
        return nearest_among(shard.searcher, shown.numbers, queries, width)
    return shard.searcher.search(queries, width, exact=wanted.exact)


def _held(shard: IndexShard, shown: ShownItems, among: bool) -> int:
    return len(shown.numbers) if among else len(shard.searcher)


def _judged(
    shard: IndexShard,
    found: Sequence[np.ndarray],
    fetch: int,
    wanted: _Wanted,
    shown: ShownItems,
    positions: np.ndarray,
    among: bool,
) -> tuple[Candidates, np.ndarray]:
    """What was found, nearest first by the one formula; those without an item that may appear are left out.

    Beside them how near one can be that is not named: float32 (q,).

    Where a filter or a limit to groups lets pass what is far from the query, the last of what an approximate search
    finds decide, and of those it misses more than of the first; so what it finds is relied on for the nearer half.

    Args:
        found: queries, and what `_ask` gave for them.
        positions: int64 (q,), of these queries among all.
    """
    metric = shard.manifest.metric
    queries, row, score = found
    if not wanted.exact and not among:
        # ScaNN's score of a pair differs in the last bit with its position and with the queries around it (0.4 % and
        # 0.001 % of pairs, measured).
        score = pair_scores(shard.searcher.vectors, checked(queries, metric), row, metric)
    near = nearness(score, metric)
    horizon = np.full(len(queries), -np.inf, np.float32)
    if fetch < _held(shard, shown, among):
        halved = (shown.filtered or shown.in_groups) and not (among or wanted.exact)
        counted = near[:, : max(1, fetch // 2)] if halved else near
        horizon = np.where(np.isneginf(counted), np.float32(np.inf), counted).min(axis=1)
    if not shown.all_shown:
        near[shown.counts(positions, row) == 0] = -np.inf
    near[near < wanted.floor] = -np.inf
    return by_nearness(Candidates(near, np.zeros(row.shape, np.int64), row)), horizon


def _is_comparing_cheaper(shard: IndexShard, shown: ShownItems, fetch: int, exact: bool) -> bool:
    """Whether comparing with all vectors that have an item that appears costs less than finding `fetch` of all."""
    searcher = shard.searcher
    depth = None if exact or is_exact(len(searcher), fetch) else depth_for(searcher.settings, fetch)
    if depth is None:
        return True
    leaves, candidates = depth
    shape = Shape.of(len(searcher), searcher.dim, searcher.parameters)
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
