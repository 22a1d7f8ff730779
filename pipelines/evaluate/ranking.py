"""Ranks the whole corpus for each query, exactly: what the encoder does, without what ScaNN leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.encoder.post_processing import PostProcessing

from ..index.post_processing import first_of_each, short_list_order
from ..index.scores import checked, nearness, pair_scores
from ..index.shard import IndexShard
from ..store.index_manifest import ITEM_ID, Metric

SCORES_AT_ONCE = 1 << 24
"""Scores held at once; of a million items, those of 16 queries."""
QUERIES_AT_ONCE = 256
_ROWS_AT_ONCE = 8192
_SCALE = 1 << 29
"""Distances, as a fraction of the greatest possible one, are compared to within 1 / _SCALE."""
_COLUMN = np.int64((1 << 32) - 1)
_LAST = np.int64((1 << 31) - 1) << np.int64(32)


@dataclass(frozen=True)
class Ranking:
    """The corpus ranked for some queries.

    Attributes:
        grades: (queries, items), in order of rank; 0 behind the last rank, where junk has been taken out.
        columns: (queries, up to `top`), int64: the items of the first ranks; -1 behind the last.
    """

    grades: np.ndarray
    columns: np.ndarray


class RankedCorpus:
    """The items that are served, numbered in the order of their ids, and their vectors where they lie.

    Args:
        shards: index shards of one metric, dimension and encoder.
        metric: cosine or euclidean.
        hidden: ids that are taken down.

    Attributes:
        items: `item_id` and the metadata columns; row i is item i. Ids ascend as UTF-8 bytes, so that of two
            items at the same distance the one with the smaller number comes first.
    """

    def __init__(self, shards: Sequence[IndexShard], metric: Metric, hidden: pa.Array) -> None:
        items = pa.concat_tables(shard.items for shard in shards)
        order = pc.sort_indices(items[ITEM_ID])
        order = order.filter(pc.invert(pc.is_in(items[ITEM_ID].take(order), hidden)))
        shown = np.concatenate([np.isin(np.arange(len(s.items)), s.hidden, invert=True) for s in shards])
        order = order.filter(pa.array(shown[order.to_numpy()]))
        self.items = items.take(order)
        number = np.full(len(items), -1, np.int64)
        number[order.to_numpy()] = np.arange(len(order))
        self._rows = order.to_numpy()
        self._ends = np.cumsum([len(shard.items) for shard in shards])
        self._numbers = np.split(number, self._ends[:-1])
        # Keys come as the vectors lie: writing 100,000 of them to other places took longer than sorting them.
        self._place = np.empty(len(order), np.int64)
        self._place[number[number >= 0]] = np.arange(len(order))
        self._shards = shards
        self._metric = metric
        self._middle, self._radius = self._bounds()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def queries_at_once(self) -> int:
        """Queries that `keys` should be given at once."""
        return max(1, min(QUERIES_AT_ONCE, SCORES_AT_ONCE // max(1, len(self))))

    def numbers_of(self, item_ids: Sequence[str]) -> np.ndarray:
        """The items with these ids: int64, one each, -1 for an unknown one."""
        asked = pa.array(item_ids, pa.string())
        return pc.index_in(asked, self.items[ITEM_ID]).fill_null(-1).to_numpy().astype(np.int64)

    def keys(self, queries: np.ndarray) -> np.ndarray:
        """Sorting keys of all items: the distance in the upper half, the item's number in the lower.

        Distances are summed in double precision and then rounded, so that copies of one picture are tied
        wherever they lie. Sorting such numbers took 1 ms for 100,000; a stable argsort of scores took 14 ms.

        Args:
            queries: float32 (queries, dim).

        Returns:
            int64 (queries, items), in no order. Sorted, they are the ranking.
        """
        asked = checked(queries, self._metric).astype(np.float64) - self._middle
        squares = np.einsum("qd,qd->q", asked, asked)[:, None]
        # The greatest distance becomes 1: for cosine 2, for euclidean that to the far side of the corpus.
        greatest = (
            np.full_like(squares, 4.0) if self._metric == "cosine" else (np.sqrt(squares) + self._radius) ** 2
        )
        scale = _SCALE / np.maximum(greatest, np.finfo(np.float64).tiny)
        keys = np.empty((len(queries), len(self)), np.int64)
        done = 0
        for shard, numbers in zip(self._shards, self._numbers, strict=True):
            for start in range(0, len(numbers), _ROWS_AT_ONCE):
                here = numbers[start : start + _ROWS_AT_ONCE]
                served = here >= 0
                vectors = shard.vectors_of(start + np.flatnonzero(served))
                rows = vectors.astype(np.float64) - self._middle
                far = (asked * -2) @ rows.T
                far += np.einsum("nd,nd->n", rows, rows)
                far += squares
                far *= scale
                np.clip(np.rint(far, out=far), 0, _SCALE, out=far)
                part = keys[:, done : done + len(rows)]
                part[:] = far
                part <<= 32
                part |= here[served]
                done += len(rows)
        return keys

    def nearest(self, keys: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first items of the ranking.

        Args:
            keys: int64 (queries, items), as `keys` makes them.
            count: how many; fewer come of a smaller corpus.

        Returns:
            places: int64 (queries, count), where their keys are.
            numbers: int64 (queries, count), which items they are.
        """
        count = min(count, len(self))
        places = np.argpartition(keys, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(keys, places, axis=1)
        order = np.argsort(found, axis=1)
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(found, order, axis=1) & _COLUMN

    def put_first(self, keys: np.ndarray, places: np.ndarray) -> None:
        """Changes `keys`, as `keys` made them, so that those at `places` (queries, m) rank first, in that order."""
        ranks = np.arange(places.shape[1], dtype=np.int64)
        keys += places.shape[1] << 32
        numbers = np.take_along_axis(keys, places, axis=1) & _COLUMN
        np.put_along_axis(keys, places, (ranks << 32) | numbers, axis=1)

    def near(self, queries: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """How near items are to queries, to the bit as the query job scores them.

        Args:
            queries: float32 (queries, dim).
            columns: int64 (queries, m), items; -1 for none.

        Returns:
            float32 (queries, m), higher is nearer; -inf where there is none.
        """
        held = columns >= 0
        rows = np.full(columns.shape, -1, np.int64)
        rows[held] = np.arange(held.sum())
        vectors = self.vectors_of(columns[held])
        return nearness(
            pair_scores(vectors, checked(queries, self._metric), rows, self._metric), self._metric
        )

    def vectors_of(self, numbers: np.ndarray) -> np.ndarray:
        """Vectors of the items with these numbers, (m,): float32 (m, dim)."""
        vectors = np.empty((len(numbers), self._shards[0].searcher.dim), np.float32)
        rows = self._rows[numbers]
        shard = np.searchsorted(self._ends, rows, side="right")
        for one, end in enumerate(self._ends):
            here = shard == one
            vectors[here] = self._shards[one].vectors_of(rows[here] - end + len(self._numbers[one]))
        return vectors

    def ranked(self, keys: np.ndarray, grades: np.ndarray, top: int) -> Ranking:
        """Orders grades by rank, junk taken out. Uses up `keys`.

        Args:
            keys: int64 (queries, items), as `keys` makes them.
            grades: (queries, items) by the item's number, signed; below 0 is junk.
            top: items to name.
        """
        of_junk = self._put_last(keys, grades)
        keys.sort(axis=1)
        keys &= _COLUMN
        left = len(self) - np.bincount(of_junk, minlength=len(grades))
        inside = np.arange(min(top, len(self))) < left[:, None]
        in_order = np.maximum(np.take_along_axis(grades, keys, axis=1), 0)
        return Ranking(in_order, np.where(inside, keys[:, :top], -1))

    def first(self, keys: np.ndarray, grades: np.ndarray, count: int) -> np.ndarray:
        """The items of the first ranks, junk taken out: int64 (queries, up to `count`), -1 behind the last.

        Args:
            keys, grades: as for `ranked`; they stay as they are.
            count: items of each query.
        """
        keys = keys.copy()
        self._put_last(keys, grades)
        places, numbers = self.nearest(keys, count)
        return np.where(np.take_along_axis(keys, places, axis=1) < _LAST, numbers, -1)

    def _put_last(self, keys: np.ndarray, grades: np.ndarray) -> np.ndarray:
        """Changes the keys of junk so that it ranks last; gives the query of each piece of junk."""
        queries, junk = np.nonzero(grades < 0)
        keys[queries, self._place[junk]] |= _LAST
        return queries

    def _bounds(self) -> tuple[np.ndarray, float]:
        """Mean of the vectors and the greatest distance from it; squares far from the origin would cancel."""
        dim = self._shards[0].searcher.dim
        if self._metric == "cosine":
            return np.zeros(dim), 1.0
        vectors = [shard.searcher.vectors for shard in self._shards]
        parts = [v[i : i + _ROWS_AT_ONCE] for v in vectors for i in range(0, len(v), _ROWS_AT_ONCE)]
        middle = sum((part.sum(axis=0, dtype=np.float64) for part in parts), np.zeros(dim))
        middle /= max(1, sum(map(len, parts)))
        furthest = [((part - middle) ** 2).sum(axis=1).max() for part in parts]
        return middle, float(np.sqrt(max(furthest, default=0.0)))


def keys_in_steps(
    corpus: RankedCorpus, queries: np.ndarray, own: np.ndarray, steps: PostProcessing
) -> tuple[np.ndarray, np.ndarray]:
    """As `RankedCorpus.keys`, with the steps around it; and the queries that were asked last.

    Args:
        queries: float32 (queries, dim).
        own: int64 (queries,), the item whose id is the query's own; -1 for none.
        steps: query expansion and re-ranking.
    """
    keys = corpus.keys(queries)
    if expansion := steps.query_expansion:
        queries = checked(queries, "cosine")
        _, numbers = corpus.nearest(keys, expansion.k + 1)
        near = corpus.vectors_of(numbers.reshape(-1)).reshape(*numbers.shape, -1)
        near[~first_of_each(numbers != own[:, None], expansion.k)] = 0
        queries = expansion.apply(queries, near)
        keys = corpus.keys(queries)
    if reranking := steps.reranking:
        places, numbers = corpus.nearest(keys, reranking.short_list + 1)
        order = short_list_order(
            checked(queries, "cosine"), numbers, numbers == own[:, None], corpus.vectors_of, reranking
        )
        corpus.put_first(keys, np.take_along_axis(places, order, axis=1))
    return keys, queries
