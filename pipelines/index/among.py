"""Exact search among some of the vectors of an index, which need not all be gathered at once."""

from __future__ import annotations

import numpy as np

from ..store.index_manifest import IndexParameters
from .scores import nearness, pair_scores
from .searcher import Searcher
from .stored import StoredVectors, Vectors
from .tuning import exactly

_GATHERED_BYTES = 1 << 26
_FEW = 1 << 14
"""Pairs that are scored one by one sooner than ScaNN is prepared for them."""


def nearest_among(
    searcher: Searcher, numbers: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` nearest of some vectors, as `Searcher.search` gives those of all when it compares with each.

    Args:
        searcher: of the index.
        numbers: int64 (m,), ascending, of the vectors.
        queries: float32 (q, dim), as `scores.checked` returns them.
        k: at least 1.

    Returns:
        rows: int64 (q, k), -1 where there are fewer.
        scores: float32 (q, k), by `pair_scores`; NaN where the row is -1.
    """
    rows = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), np.nan, np.float32)
    step = max(1024, _GATHERED_BYTES // (4 * searcher.dim))
    for start in range(0, len(numbers), step):
        part = numbers[start : start + step]
        width = min(k, len(part))
        if len(part) * len(queries) <= _FEW:
            every = np.broadcast_to(np.arange(len(part)), (len(queries), len(part)))
            found = (
                every,
                pair_scores(searcher.vectors, queries, part[every], searcher.metric, searcher.threads),
            )
        else:
            found = _over(searcher, part).search(queries, width, exact=True)
        # A stable order: of equals the one with the lower number is first.
        rows = np.concatenate([rows, part[found[0]]], axis=1)
        scores = np.concatenate([scores, found[1]], axis=1)
        order = np.argsort(-nearness(scores, searcher.metric), axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return rows, scores


def _over(searcher: Searcher, numbers: np.ndarray) -> Searcher:
    """An exact searcher of some of the vectors."""
    parameters = IndexParameters("brute_force", 0, 0, 0, searcher.parameters.bytes)
    vectors = _some(searcher.vectors, numbers)
    return Searcher(vectors, searcher.metric, parameters, (exactly(1, 1.0),), searcher.threads)


def _some(vectors: Vectors, numbers: np.ndarray) -> Vectors:
    """Vectors by their numbers, at least one; not copied where none between the first and the last is left out."""
    first, end = int(numbers[0]), int(numbers[-1]) + 1
    part = slice(first, end) if end - first == len(numbers) else numbers
    if isinstance(vectors, StoredVectors):
        return StoredVectors(vectors.codes[part], vectors.multipliers, vectors.unit)
    return np.asarray(vectors)[part]
