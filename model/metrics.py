"""Retrieval metrics: pure functions on arrays."""

from __future__ import annotations

import numpy as np


def hit_rate_at_k(relevant: np.ndarray, k: int) -> float:
    """The fraction of queries with at least one relevant item among their first k.

    Args:
        relevant: bool array of shape (queries, ranks), in order of rank; False where there is no result.
        k: ranks looked at, at least 1.

    Raises:
        ValueError: for k below 1, or without queries.

    >>> hit_rate_at_k(np.array([[False, True], [False, False]]), k=2)
    0.5
    """
    if k < 1 or relevant.ndim != 2 or not len(relevant):
        raise ValueError(
            f"Expected k >= 1 and relevance of shape (queries, ranks). Received: {k}, {relevant.shape}"
        )
    return float(relevant[:, :k].any(axis=1).mean())


def average_precision(relevant: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Average precision of each query: the mean, over its relevant items, of the precision at their ranks.

    Source: Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, equation 8.8 (inner
    sum). A relevant item that is not in the ranking counts as precision 0.

    Args:
        relevant: bool array of shape (queries, ranks), in order of rank.
        total: int array of shape (queries,): relevant items in the whole corpus, at least 1 each.

    Returns:
        Array of shape (queries,), float64. Its mean is mAP.

    >>> average_precision(np.array([[True, False, True]]), np.array([2])).round(4).tolist()
    [0.8333]
    """
    if (total < 1).any():
        raise ValueError("Expected at least one relevant item for each query; leave lone queries out")
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return (precision * relevant).sum(axis=1) / total
