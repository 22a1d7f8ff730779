"""The items behind vectors: which of them may appear, and how nearest vectors become nearest items."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from .ordering import Candidates
from .shard import IndexShard


class ShownItems:
    """The items of an index shard that may be matches of some queries.

    Args:
        shard: the index shard.
        excluded: ids of items that never appear.
        skip: an id for each query, or None, that does not appear in that query's result; None for none at all.

    Attributes:
        skips: whether a query may have an item that does not appear in its result.
        all_shown: whether every item may be a match.
        hidden: fraction of the items that appears in no result.
        has_copies: whether a vector may have several items; else its number is the row of its item.
    """

    def __init__(
        self,
        shard: IndexShard,
        excluded: Collection[str] | pa.Array,
        skip: Sequence[str | None] | pa.Array | None,
    ) -> None:
        self.has_copies = shard.offsets is not None
        self.skips = skip is not None
        self.all_shown = not len(excluded) and skip is None and not len(shard.hidden)
        self._rows, self._offsets = None, shard.offsets
        taken_down = _rows_of(shard, excluded if isinstance(excluded, _ARROW) else sorted(excluded))
        if len(hidden := np.concatenate([shard.hidden, taken_down[taken_down >= 0]])):
            appears = np.ones(len(shard.items), bool)
            appears[hidden] = False
            self._rows = np.flatnonzero(appears)
            before = np.concatenate([[0], np.cumsum(appears)])
            self._offsets = before if shard.offsets is None else before[shard.offsets]
        self.hidden = len(hidden) / max(1, len(shard.items))
        self._skipped = None
        if skip is not None:
            rows = _rows_of(shard, skip)
            self._skipped = np.where(np.isin(rows, hidden), -1, rows)
            self._skipped_number = shard.numbers_of(self._skipped)

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


def kth_nearness(shown: ShownItems, found: Candidates, queries: np.ndarray, k: int) -> np.ndarray:
    """How near the k-th item of each query is, -inf where there are fewer: float32 (q,). Arguments as `items_of`."""
    return _kth(found, _counted(shown, found, queries), k)


def _kth(found: Candidates, counts: np.ndarray, k: int) -> np.ndarray:
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


_ARROW = (pa.Array, pa.ChunkedArray)


def _rows_of(shard: IndexShard, ids: Sequence[str | None] | pa.Array) -> np.ndarray:
    return shard.rows_of(ids if isinstance(ids, _ARROW) else pa.array(ids, pa.string()))
