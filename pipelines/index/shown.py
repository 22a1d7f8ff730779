"""The items behind vectors: which of them may appear, and how nearest vectors become nearest items."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa

from .groups import Groups
from .ordering import Candidates
from .shard import IndexShard

_ARROW = (pa.Array, pa.ChunkedArray)
_SMALL, _LARGE = 64, 128
"""A group is large that has more than 64 items, and more than a 128th of all, so that there are few of them."""


class ShownItems:
    """The items of an index shard that may be matches of some queries.

    Args:
        shard: the index shard.
        gone: int64 (m,), rows of items that never appear; see `gone_from`.
        skip: an id for each query, or None, that does not appear in that query's result; None for none at all.
        passing: bool (items,), which of them pass a filter; None for all.
        groups: limits the matches of a group; None does not.

    Attributes:
        skips: whether a query may have an item that does not appear in its result.
        all_shown: whether every item may be a match.
        hidden: fraction of the items that appears in no result.
        has_copies: whether a vector may have several items; else its number is the row of its item.
        filtered: whether only some pass a filter.
        in_groups: whether matches of a group are limited.
    """

    def __init__(
        self,
        shard: IndexShard,
        gone: np.ndarray,
        skip: Sequence[str | None] | pa.Array | None,
        passing: np.ndarray | None = None,
        groups: Groups | None = None,
    ) -> None:
        self._vectors = len(shard.searcher)
        self.has_copies = shard.offsets is not None
        self.skips = skip is not None
        self.filtered = passing is not None
        self.in_groups = groups is not None
        self._groups = groups
        appears = np.ones(len(shard.items), bool) if passing is None else passing.copy()
        appears[gone] = False
        self._skip = skip
        if groups is not None:
            self._appears = appears.copy()
            self._sizes = np.bincount(groups.codes[appears], minlength=groups.count)
            if shard.offsets is not None:
                appears &= groups.first_of_vectors(shard.offsets, appears, self.skips)
        self._rows, self._offsets = None, shard.offsets
        self.all_shown = skip is None and bool(appears.all())
        if not appears.all():
            self._rows = np.flatnonzero(appears)
            before = np.concatenate([[0], np.cumsum(appears)])
            self._offsets = before if shard.offsets is None else before[shard.offsets]
        self.hidden = 1 - np.count_nonzero(appears) / max(1, len(appears))
        self._skipped = None
        if skip is not None:
            rows = _rows_of(shard, skip)
            self._skipped = np.where(appears[rows], rows, -1) if len(appears) else rows
            self._skipped_number = shard.numbers_of(self._skipped)

    @functools.cached_property
    def numbers(self) -> np.ndarray:
        """The vectors that have an item that appears: int64 (m,), ascending."""
        if self._offsets is None:
            return np.arange(self._vectors)
        return np.flatnonzero(np.diff(self._offsets))

    def most(self, queries: np.ndarray, k: int) -> np.ndarray:
        """How many of `k` matches there are for each query, as far as groups limit them: int64 (q,).

        Args:
            queries: int64 (q,), positions of the queries.
        """
        if self._groups is None:
            return np.full(len(queries), k)
        limited = np.minimum(self._sizes, self._groups.per_group)
        all_of_it = np.full(len(queries), limited.sum())
        if self._skipped is not None:
            rows = self._skipped[queries]
            held = np.flatnonzero(rows >= 0)
            all_of_it[held] -= self._sizes[self._groups.codes[rows[held]]] <= self._groups.per_group
        return np.minimum(all_of_it, k)

    def split(
        self, shard: IndexShard, queries: np.ndarray, k: int
    ) -> Iterator[tuple[int, ShownItems, Groups | None]]:
        """The items in parts: of each large group, and of all small ones together.

        Args:
            shard: of these items.
            queries: int64 (q,), positions of the queries that the parts are asked by.
            k: wanted of all together.

        Yields:
            How many are wanted of a part, its items, and the groups that limit them.
        """
        assert self._groups is not None
        large = np.flatnonzero(self._sizes > max(_SMALL, self._sizes.sum() // _LARGE))
        skip = self._skip
        if skip is not None:
            skip = (skip if isinstance(skip, _ARROW) else pa.array(skip, pa.string())).take(pa.array(queries))
        none = np.empty(0, np.int64)
        for code in large.tolist():
            passing = self._appears & (self._groups.codes == code)
            yield min(self._groups.per_group, k), ShownItems(shard, none, skip, passing), None
        passing = self._appears & ~np.isin(self._groups.codes, large)
        yield k, ShownItems(shard, none, skip, passing, self._groups), self._groups

    def counts(self, queries: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """How many items the vectors have.

        Args:
            queries: int64 (q,), positions of the queries.
            numbers: int64 (q, width), of vectors; of -1 the count means nothing.
        """
        counts = np.ones_like(numbers)
        if self._offsets is not None:
            counts = self._offsets[numbers + 1] - self._offsets[numbers]
        if self._skipped is not None:
            counts -= (numbers == self._skipped_number[queries, None]) & (numbers >= 0)
        return counts

    def rows(self, queries: np.ndarray, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Rows of items, three int64 (m,) to one.

        Args:
            queries: positions of the queries.
            numbers: of vectors.
            places: of the item among those of its vector that `counts` counts, in order of their ids, from 0.
        """
        rows = self._at(numbers, places)
        if self._skipped is None:
            return rows
        behind = (numbers == self._skipped_number[queries]) & (rows >= self._skipped[queries])
        return self._at(numbers, places + behind)

    def _at(self, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
        rows = places + (numbers if self._offsets is None else self._offsets[numbers])
        return rows if self._rows is None else self._rows[rows]


def items_of(shown: ShownItems, found: Candidates, queries: np.ndarray, k: int) -> Candidates:
    """Vectors as candidates turned into their items, as many as the first `k` of a query can need.

    Args:
        shown: of the shard.
        found: (q, width), nearest first; rows are numbers of vectors.
        queries: int64 (q,), positions of the queries.

    Returns:
        Candidates whose rows are those of items, nearest first; the items of one vector are tied.
    """
    counts = _counted(shown, found, queries)
    if shown.in_groups:
        # Groups that nearer items have filled cost no more of a vector's items than those take places; but where one
        # may be skipped, a vector has one more of a group than can be a match.
        taken = np.minimum(counts, k * (1 + shown.skips))
    else:
        # What ties with the k-th may come before it by its id.
        taken = np.where(found.near >= _kth(found, counts, k)[:, None], np.minimum(counts, k), 0)
    query, column = np.nonzero(taken)
    many = taken[query, column]
    query, column = np.repeat(query, many), np.repeat(column, many)
    place = np.arange(len(query)) - np.repeat(np.cumsum(many) - many, many)
    width = taken.sum(axis=1)
    at = np.arange(len(query)) - np.repeat(np.cumsum(width) - width, width)
    shape = (len(counts), int(width.max(initial=0)))
    near, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    near[query, at] = found.near[query, column]
    rows[query, at] = shown.rows(queries[query], found.row[query, column], place)
    return Candidates(near, np.zeros(shape, np.int64), rows)


def _kth(found: Candidates, counts: np.ndarray, k: int) -> np.ndarray:
    """How near the k-th item of each query is, -inf where there are fewer: float32 (q,)."""
    if not counts.shape[1]:
        return np.full(len(counts), -np.inf, np.float32)
    enough = np.cumsum(counts, axis=1) >= k
    kth = found.near[np.arange(len(counts)), enough.argmax(axis=1)]
    return np.where(enough[:, -1], kth, np.float32(-np.inf))


def _counted(shown: ShownItems, found: Candidates, queries: np.ndarray) -> np.ndarray:
    """How many items each candidate has, 0 where there is no candidate: int64 (q, width)."""
    there = ~np.isneginf(found.near)
    if not shown.has_copies:
        return there.astype(np.int64)
    return np.where(there, shown.counts(queries, np.where(there, found.row, -1)), 0)


def served_rows(shard: IndexShard, excluded: pa.Array) -> np.ndarray:
    """Rows of the items that are served, all but those with the ids `excluded`: int64 (m,), ascending."""
    return shard.shown[~np.isin(shard.shown, shard.rows_of(excluded))]


def gone_from(shard: IndexShard, excluded: Collection[str] | pa.Array) -> np.ndarray:
    """Rows of items that never appear: those with the ids `excluded`, and what the shard hides. int64 (m,)."""
    taken_down = _rows_of(shard, excluded if isinstance(excluded, _ARROW) else sorted(excluded))
    return np.concatenate([shard.hidden, taken_down[taken_down >= 0]])


def _rows_of(shard: IndexShard, ids: Sequence[str | None] | pa.Array) -> np.ndarray:
    return shard.rows_of(ids if isinstance(ids, _ARROW) else pa.array(ids, pa.string()))
