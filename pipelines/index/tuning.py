"""Chooses how an index is built and searched: by its size, and by recall measured on it, never by a clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..store.index_manifest import Algorithm, IndexParameters, Metric, SearchSettings
from .scores import nearness, pair_scores

_BRUTE_FORCE_BELOW = 20_000
_TREE_FROM = 100_000
_TRAINING_SAMPLE = 250_000
"""Trained on 200,000 of 200,000 vectors in 2,000 clusters, 2 leaves gave recall 0.993; on 100,000, 0.981."""
_QUERIES = 2_000
TUNED_K = 10
"""Results a query that settings are tuned for: the recall target is a recall at 10."""
_SEED = 0
"""Of the sample of vectors that search settings are tuned with."""

_CONFIDENCE = 1.645
"""One-sided 95 % quantile of the normal distribution."""
_LEAF_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
_REORDER_STEPS = (1.5, 2, 3, 4, 5, 6, 8, 10, 13, 16, 24, 32, 64, 128)
_RANDOM_ACCESS = 3.0
"""A byte of a row fetched for reordering costs as much as this many bytes of codes scanned in order.

Measured on 200,000 x 256, ScaNN 1.3.4, 2 cores: 0.53 us for a leaf's 14 kB of codes and 0.08 us for a row of
1 kB under cosine (ratio 2.0), 1.66 us for 28 kB and 0.17 us for a row under euclidean (2.8).
"""


@dataclass(frozen=True)
class BuildOptions:
    """How an index is to be built.

    Attributes:
        recall_target: recall at `TUNED_K` that the search settings must reach, 0 to 1.
        threads: cores to use; None for all.
        algorithm: None for what suits the number of vectors.
    """

    recall_target: float = 0.99
    threads: int | None = None
    algorithm: Algorithm | None = None


@dataclass(frozen=True)
class Shape:
    """What the cost of a search depends on: rows, dimension, and leaves (0 without a tree)."""

    count: int
    dim: int
    leaves: int


def parameters_for(count: int, algorithm: Algorithm | None = None) -> IndexParameters:
    """What suits an index of `count` vectors; `algorithm` overrules the choice by size."""
    if algorithm is None:
        algorithm = "brute_force" if count < _BRUTE_FORCE_BELOW else "ah" if count < _TREE_FROM else "tree"
    leaves = max(1, min(count, round(2 * count**0.5))) if algorithm == "tree" else 0
    return IndexParameters(algorithm, leaves, min(count, _TRAINING_SAMPLE), _SEED)


def cost(shape: Shape, leaves_to_search: int, pre_reorder: int) -> float:
    """Bytes that a query touches: centroids, codes (4 bits for 2 dimensions), and rows to reorder, weighted.

    Never a clock: two builds of the same vectors must choose the same.
    """
    fraction = leaves_to_search / shape.leaves if shape.leaves else 1.0
    centroids = shape.leaves * shape.dim * 4
    codes = fraction * shape.count * shape.dim / 4
    return centroids + codes + _RANDOM_ACCESS * pre_reorder * shape.dim * 4


def choose(
    shape: Shape, recalls: Callable[[int, int], np.ndarray], *, k: int, target: float
) -> SearchSettings:
    """The cheapest setting on a grid whose recall is at least `target` with 95 % confidence.

    Recall grows with both numbers, so the border between enough and too little is a staircase: fewest leaves
    and most candidates first, then fewer candidates while that suffices and more leaves where it does not.

    Args:
        shape: of the index.
        recalls: (leaves_to_search, pre_reorder) -> recall of each query, shape (queries,).
        k: results a query.
        target: recall, 0 to 1.

    Returns:
        The setting; the best that was seen if none reaches the target.
    """
    leaf_steps = [s for s in _LEAF_STEPS if s < shape.leaves] + [shape.leaves]
    reorder_steps = sorted({min(shape.count, math.ceil(k * s)) for s in _REORDER_STEPS})
    enough: list[tuple[float, SearchSettings]] = []
    best: SearchSettings | None = None
    column = len(reorder_steps) - 1
    for leaves in leaf_steps:
        if enough and cost(shape, leaves, reorder_steps[0]) >= min(enough, key=lambda e: e[0])[0]:
            break
        while column >= 0:
            found = _measured(
                recalls(leaves, reorder_steps[column]), leaves, reorder_steps[column], k, target
            )
            if best is None or found.recall_lower > best.recall_lower:
                best = found
            if found.recall_lower < target:
                break
            enough.append((cost(shape, leaves, reorder_steps[column]), found))
            column -= 1
    if enough:
        return min(enough, key=lambda e: e[0])[1]
    assert best is not None
    return best


def _measured(recalls: np.ndarray, leaves: int, pre_reorder: int, k: int, target: float) -> SearchSettings:
    mean = float(recalls.mean())
    error = float(recalls.std()) / math.sqrt(len(recalls))
    lower = mean - _CONFIDENCE * error
    return SearchSettings(k, leaves, pre_reorder, mean, lower, target, len(recalls))


class Tunable(Protocol):
    """An index that is trained and has no settings yet; see `searcher.Searcher` for what these are."""

    vectors: np.ndarray
    metric: Metric
    parameters: IndexParameters
    threads: int

    def __len__(self) -> int: ...

    @property
    def dim(self) -> int: ...

    def search(
        self, queries: np.ndarray, k: int, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]: ...


def tune(searcher: Tunable, target: float) -> SearchSettings:
    """Settings for a trained index, measured against exact search with up to 2,000 of its vectors.

    Each query leaves itself out of its results.

    Args:
        searcher: with ScaNN's approximate search.
        target: recall at `TUNED_K`, 0 to 1.
    """
    count, metric = len(searcher), searcher.metric
    own = np.sort(np.random.default_rng(_SEED).choice(count, min(count, _QUERIES), replace=False))
    queries = searcher.vectors[own]
    hits = max(1, min(TUNED_K, count - 1))
    wanted = min(count, hits + 1)

    def others(rows: np.ndarray) -> np.ndarray:
        rows = np.where(rows == own[:, None], -1, rows)
        scores = pair_scores(searcher.vectors, queries, rows, metric, searcher.threads)
        return -np.sort(-nearness(scores, metric), axis=1)[:, :hits]

    kth = others(searcher.search(queries, wanted, exact=True)[0])[:, -1:]

    def recalls(leaves: int, pre_reorder: int) -> np.ndarray:
        return (others(searcher.approximate(queries, wanted, leaves, pre_reorder)[0]) >= kth).mean(axis=1)

    shape = Shape(count, searcher.dim, searcher.parameters.leaves)
    return choose(shape, recalls, k=TUNED_K, target=target)
