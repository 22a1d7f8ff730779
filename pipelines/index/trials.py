"""The queries that search settings are measured with: pictures of the catalogue, and such as it does not hold."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from ..store.index_manifest import IndexParameters, Metric, Recall
from .scores import nearness, pair_scores
from .stored import JoinedVectors, Vectors

QUERIES = 1_000
"""Of each kind, at most."""
ASKED = "tuning_queries"
"""The kind that the user gave."""
_SEED = 0
_NEAR_COPY = 0.3
"""Items are near copies below this fraction of the mean squared distance of two items.

A group is the near copies of one, and theirs. With the groups of members taken out, recall followed that of 341
photographs which are not in the catalogue (AH, 15 to 250 candidates, vectors of photographs disturbed as views are):
64 views each of 375, 0.656, 0.792, 0.907, 0.956, 0.982, 0.993 against 0.554, 0.755, 0.887, 0.946, 0.975, 0.989;
16 each of 1,534, 0.660, 0.841, 0.943, 0.978, 0.992, 0.997 against 0.661, 0.833, 0.936, 0.976, 0.992, 0.997.
With their near copies only, the first got 0.794, 0.961, 0.989, 0.996, 0.999, 1.000: other views of the same thing, just
beyond the limit, were what they had to find.
"""
_MOST_NEAR_COPIES = 512
"""Members with more are left out of that kind: what lies behind them would have to be searched for too deeply."""
_ITS_OWN = 0.7
"""Share of itself in a disturbed member; sqrt(1 - 0.7^2) is of what no member is, so that its spread is a member's.

That was one other member, beside which all of its near copies are found: on 16 views each of 375 photographs such
queries got 0.998 (AH, 60 candidates) where 341 other photographs got 0.959; a sum of many tells 0.986.
"""
_MIXED = 16
"""Members whose differences from the mean, with random signs, make up what no member is."""
_ISOLATED, _NEIGHBOUR = 0.1, 10
"""Share of the members that lie in the sparsest parts of a catalogue, by the distance of their tenth neighbour.

Of 7,600 vectors in 6 of 64 dimensions and 400 in all of them, new ones of the second kind got 0.90 where the mean over
members was 0.994: its tenth of such queries told 0.94. On photographs it is as the others are, within 0.015.
"""
_FEWER, _FEWER_FROM = 4, 25
"""From k = 100 on every fourth query: the error of the mean of 1,000 was 0.0002 there, 0.001 at 10."""
_CONFIDENCE = 1.645
"""One-sided 95 % quantile of the normal distribution."""


class Tunable(Protocol):
    """An index that is trained and has no settings yet; see `searcher.Searcher` for what these are."""

    metric: Metric
    parameters: IndexParameters
    threads: int

    def __len__(self) -> int: ...

    @property
    def vectors(self) -> Vectors | JoinedVectors: ...

    @property
    def dim(self) -> int: ...

    def search(
        self, queries: np.ndarray, k: int, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]: ...


class Trial:
    """Queries of one kind, and how near the items are that each should find.

    Args:
        searcher: the index.
        queries: float32 (q, dim), as `scores.checked` returns them.
        most: the largest k that is asked for.
        own: int64 (q,), the vector that a query is, which counts neither as found nor as missed; -1 for none.
        limit: what is nearer than this is a near copy. Neither those of a query nor theirs count, nor do they take the
            place of what does; where too few would be left, only those of the query do not.
        found: what `searcher` answers to them exactly, as many results a query as `limit` needs, or more; None asks it.

    Attributes:
        best: float32 (q,), how near the nearest item that counts is to each query; those that have fewer than `most`
            are left out.
    """

    def __init__(
        self,
        searcher: Tunable,
        queries: np.ndarray,
        most: int,
        own: np.ndarray | None = None,
        limit: float = math.inf,
        found: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._searcher = searcher
        width = _width(searcher, most, limit)
        rows, scores = found or searcher.search(queries, width, exact=True)
        rows, scores = rows[:, :width], scores[:, :width]
        near = nearness(scores, searcher.metric)
        aside = near > np.float32(limit)
        if own is not None:
            aside |= rows == own[:, None]
        if limit < math.inf:
            _mark_groups(searcher, queries, rows, aside, limit, most)
        self._numbers = np.flatnonzero((~aside).sum(axis=1) >= most)
        """Of the queries that are kept, among those given."""
        self._queries = queries[self._numbers]
        self._set_aside = np.sort(self._pairs(np.arange(len(rows)), rows)[aside])
        order = np.argsort(aside[self._numbers], axis=1, kind="stable")[:, :most]
        self._skipped = (order - np.arange(most)).astype(np.int32)
        """Of each item that counts: how many are nearer that do not."""
        self._near = np.take_along_axis(near[self._numbers], order, axis=1)

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def best(self) -> np.ndarray:
        """How near the nearest item that counts is, float32 (q,)."""
        return self._near[:, 0]

    def asked_of(self, searcher: Tunable) -> Trial:
        """The same queries for another index of the same vectors."""
        other = copy.copy(self)
        other._searcher = searcher
        return other

    def isolated(self) -> Trial:
        """Those of the queries around which there is least."""
        other = copy.copy(self)
        tenth = self._near[:, min(_NEIGHBOUR, self._near.shape[1]) - 1]
        kept = np.sort(np.argsort(tenth, kind="stable")[: math.ceil(_ISOLATED * len(self))])
        other._queries, other._numbers = self._queries[kept], self._numbers[kept]
        other._skipped, other._near = self._skipped[kept], self._near[kept]
        return other

    def _pairs(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """A number for each query and item."""
        return numbers[:, None] * len(self._searcher) + rows

    def _is_aside(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        pairs = self._pairs(numbers, rows)
        if not len(self._set_aside):
            return np.zeros(pairs.shape, bool)
        place = np.searchsorted(self._set_aside, pairs)
        return self._set_aside[np.minimum(place, len(self._set_aside) - 1)] == pairs

    def recall(self, k: int, leaves: int, pre_reorder: int) -> Recall:
        """Recall at `k` with these settings; what does not count has candidates of its own."""
        found = [self._recalls(rows, k, leaves, pre_reorder) for rows in self._parts(k)]
        recalls = np.concatenate(found)
        mean, error = float(recalls.mean()), float(recalls.std()) / math.sqrt(len(recalls))
        return Recall(mean, mean - _CONFIDENCE * error, len(recalls))

    def _parts(self, k: int) -> Iterator[np.ndarray]:
        """Numbers of queries with about as many items that do not count; of many results a query fewer say as much."""
        # Few aside come first, as those with equally many are searched together.
        rows = np.argsort(self._skipped[:, k - 1], kind="stable")[:: max(1, min(_FEWER, k // _FEWER_FROM))]
        skipped = self._skipped[rows, k - 1]
        start = 0
        while start < len(rows):
            end = int(np.searchsorted(skipped, 1 + math.ceil(1.1 * skipped[start]), side="right"))
            yield rows[start:end]
            start = end

    def _recalls(self, asked: np.ndarray, k: int, leaves: int, pre_reorder: int) -> np.ndarray:
        searcher, queries, skipped = self._searcher, self._queries[asked], self._skipped[asked, k - 1]
        width = min(len(searcher), k + int(skipped[-1]))
        rows, _ = searcher.approximate(queries, width, leaves, pre_reorder + int(skipped[0]))
        scores = pair_scores(searcher.vectors, queries, rows, searcher.metric, searcher.threads)
        near = nearness(scores, searcher.metric)
        hits = (near >= self._near[asked, k - 1 : k]) & ~self._is_aside(self._numbers[asked], rows)
        return np.minimum(hits.sum(axis=1), k) / k


def make_trials(
    searcher: Tunable, most: int, asked: np.ndarray | None = None, own: np.ndarray | None = None
) -> dict[str, Trial]:
    """Queries of every kind that an index gives rise to: kind -> trial, the hardest first, none of them empty.

    `members` of the index, each without itself; `without_near_copies`, members for whom neither their near copies nor
    those of these exist, which is how a picture that is not in the catalogue meets it; `isolated`, the tenth of the
    members around which there is least, so that a small part of the catalogue that is unlike the rest is not lost in a
    mean; `disturbed`, members mixed with what none is; `tuning_queries`, what the user gave, as it is.

    Args:
        searcher: the index, of two vectors or more.
        most: the largest k that is asked for.
        asked: the user's queries, float32 (q, dim), as `scores.checked` returns them; None for none.
        own: int64 (q,), the members that are asked, at most `QUERIES`; None for some of all.
    """
    count, metric = len(searcher), searcher.metric
    some = np.sort(np.random.default_rng(_SEED).choice(count, min(count, QUERIES), replace=False))
    all_over = np.asarray(searcher.vectors[some])
    others = np.roll(all_over, len(some) // 2, axis=0)
    apart = float(np.square(all_over - others).sum(axis=1, dtype=np.float64).mean())
    own = some if own is None else own
    members = all_over if own is some else np.asarray(searcher.vectors[own])
    limit = 1 - _NEAR_COPY * apart / 2 if metric == "cosine" else -math.sqrt(_NEAR_COPY * apart)
    disturbed = _disturbed(members, all_over, metric)
    # Together, since comparing with every vector has to be prepared for.
    together = np.concatenate([members, disturbed])
    rows, scores = searcher.search(together, _width(searcher, most, limit), exact=True)
    many = len(members)
    found, of_disturbed = (rows[:many], scores[:many]), (rows[many:], scores[many:])
    as_they_are = Trial(searcher, members, most, own, found=found)
    trials = {
        "without_near_copies": Trial(searcher, members, most, own, limit, found),
        "isolated": as_they_are.isolated(),
        "disturbed": Trial(searcher, disturbed, most, found=of_disturbed),
        "members": as_they_are,
    }
    if asked is not None:
        trials[ASKED] = asked_trial(searcher, most, asked)
    return {kind: trial for kind, trial in trials.items() if len(trial)}


def asked_trial(searcher: Tunable, most: int, asked: np.ndarray) -> Trial:
    """What the user gave, up to `QUERIES` of it, spread over all; with the arguments of `make_trials`."""
    return Trial(searcher, _spread(asked), most)


def _width(searcher: Tunable, most: int, limit: float) -> int:
    """Results a query that hold `most` that count."""
    return min(len(searcher), most + 1 + (_MOST_NEAR_COPIES if limit < math.inf else 0))


def _mark_groups(
    searcher: Tunable, queries: np.ndarray, rows: np.ndarray, aside: np.ndarray, limit: float, most: int
) -> None:
    """Marks near copies of the near copies of each query, too.

    Args:
        searcher: the index.
        queries: float32 (q, dim).
        rows: int64 (q, w), what is nearest to each, nearest first.
        aside: bool (q, w), near copies of each and itself. Where it would leave fewer than `most`, nothing is added.
        limit, most: as `Trial` has them.
    """
    squared = 2 - 2 * limit if searcher.metric == "cosine" else limit**2
    rows = rows[:, : 2 * _MOST_NEAR_COPIES]

    def mark(query: int) -> None:
        marked = aside[query, : rows.shape[1]]
        copies, others = np.flatnonzero(marked), np.flatnonzero(~marked)
        # From the query, so that squares of what lies far from the origin do not cancel.
        vectors = np.asarray(searcher.vectors[rows[query]]) - queries[query]
        squares = np.einsum("wd,wd->w", vectors, vectors)
        apart = squares[others, None] + squares[copies] - 2 * (vectors[others] @ vectors[copies].T)
        near = others[apart.min(axis=1, initial=np.inf) < squared]
        if np.count_nonzero(~aside[query]) - len(near) >= most:
            aside[query, near] = True

    # A query that has none but itself is done. BLAS in one thread sums alike, whatever their number.
    some = np.flatnonzero(aside.sum(axis=1) > 1)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(searcher.threads) as pool:
        list(pool.map(mark, some))


def _disturbed(members: np.ndarray, all_over: np.ndarray, metric: Metric) -> np.ndarray:
    """Members as pictures of other things might lie among them: as many, or fewer where one has no direction."""
    middle = all_over.mean(axis=0, dtype=np.float64)
    chance = np.random.default_rng(_SEED)
    strange = np.zeros(members.shape)
    for _ in range(_MIXED):
        signs = chance.choice((-1.0, 1.0), (len(members), 1))
        strange += signs * (all_over[chance.integers(0, len(all_over), len(members))] - middle)
    strange *= math.sqrt((1 - _ITS_OWN**2) / _MIXED)
    mixed = middle + _ITS_OWN * (members - middle) + strange
    if metric == "cosine":
        lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
        mixed = (mixed / np.maximum(lengths, 1e-12))[lengths[:, 0] > 1e-6]
    return mixed.astype(np.float32)


def _spread(queries: np.ndarray) -> np.ndarray:
    """At most `QUERIES` rows, from the first to the last."""
    rows = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), QUERIES)).astype(np.int64))
    return queries[rows]
