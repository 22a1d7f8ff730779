"""Maximal marginal relevance: matches that are near to the query and not to each other.

Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking for reordering documents and producing
summaries", section 2.
"""

from __future__ import annotations

import numpy as np

from ..store.index_manifest import Metric
from .scores import nearness, pair_scores


def diverse_order(
    near: np.ndarray, rows: np.ndarray, vectors: np.ndarray, metric: Metric, balance: float, k: int
) -> np.ndarray:
    """The places of the first `k` matches, each the best of those that are left.

    Best is the greatest `balance` x relevance - (1 - balance) x the greatest nearness to a match chosen before; of
    equal ones, the first. Relevance is how near a match is; where matches do not come in that order, as after
    re-ranking, the n-th has the n-th greatest.

    Args:
        near: float32 (q, w), -inf behind the last match of a query.
        rows: int64 (q, w), of their vectors; -1 for none.
        vectors: float32 (m, dim), unit length for cosine.
        metric: of the index, which tells how near two items are.
        balance: 0 to 1.
        k: at least 1.

    Returns:
        int64 (q, min(k, w)): which place comes first, second, and so on; places without a match come last.
    """
    queries = np.arange(len(near))
    relevance = -np.sort(-near.astype(np.float64), axis=1)
    relevance = balance * np.where(np.isfinite(relevance), relevance, 0)  # what is none is not `left`
    like = np.full(near.shape, -np.inf)
    left = rows >= 0
    order = np.empty((len(near), min(k, near.shape[1])), np.int64)
    for step in range(order.shape[1]):
        worth = relevance if step == 0 else relevance - (1 - balance) * np.where(left, like, 0)
        worth = np.where(left, worth, -np.inf)
        # Places behind the last match, which are all that is left, in their order.
        chosen = np.where(left.any(axis=1), worth.argmax(axis=1), step)
        order[:, step] = chosen
        left[queries, chosen] = False
        if step + 1 < order.shape[1] and left.any():
            of_chosen = vectors[np.maximum(rows[queries, chosen], 0)]
            found = pair_scores(vectors, of_chosen, np.where(left, rows, -1), metric)
            like = np.maximum(like, nearness(found, metric).astype(np.float64))
    return order
