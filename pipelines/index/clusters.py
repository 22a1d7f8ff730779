"""Clusters of vectors: where the leaves of a tree stand, and in which of them each vector lies.

ScaNN's own k-means is repeatable only if it begins with its k-means++, which adds distances up where that takes the
smallest: at 200,000 x 256 it took two thirds of the time of building, and drew centres to what is far from everything:
one leaf of 894 held 0.62 to 0.83 of the ten nearest, one of these 0.98. Begun at random its leaves differ from run to
run, being numbered in the order of a hash table, and scikit-learn's add up in the order in which threads end.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

_ROUNDS = ((4, 4), (1, 6))
"""Rounds of Lloyd's algorithm on a quarter of the sample, then on all of it. Fewer do not end it: with four passes over
the sample, two of them at the end, one leaf of 894 held 0.9959 of the ten nearest among 200,000 vectors in 2,000
clusters, and 48 held 0.9991; with these seven one holds 0.9993."""
_LEAST = 16
"""Vectors a centre that a part of the sample holds."""
_ROWS_AT_ONCE = 1024
"""Vectors compared with all centres in one product. Always as many, since a product's rounding depends on it."""
_ROWS_SUMMED = 1 << 13


def cluster_centres(
    vectors: np.ndarray, count: int, sample: int, seed: int, threads: int, *, spherical: bool
) -> np.ndarray:
    """Centres by Lloyd's algorithm, begun at random vectors; the same to the bit with any number of threads.

    Args:
        vectors: float32 (n, dim).
        count: of centres, at most `sample` and n.
        sample: how many vectors to look at.
        seed: of the sample.
        threads: cores to use.
        spherical: compare directions: vectors and centres are of unit length.

    Returns:
        float32 (count, dim).
    """
    order = np.random.default_rng(seed).permutation(len(vectors))[:sample]
    centres = vectors[order[:count]]
    for share, rounds in _ROUNDS:
        part = vectors[np.sort(order[: max(len(order) // share, _LEAST * count)])]
        for _ in range(rounds):
            which = nearest_centres(part, centres, threads, spherical=spherical)
            centres = _means(part, which, centres, threads, spherical)
    return centres


def nearest_centres(vectors: np.ndarray, centres: np.ndarray, threads: int, *, spherical: bool) -> np.ndarray:
    """The number of the nearest centre of each vector, int32 (n,); of several as near, the first."""
    which = np.empty(len(vectors), np.int32)
    turned = np.ascontiguousarray(centres.T)
    half = None if spherical else np.square(centres, dtype=np.float32).sum(axis=1) / 2

    def assign(start: int) -> None:
        near = vectors[start : start + _ROWS_AT_ONCE] @ turned
        if half is not None:
            near -= half
        which[start : start + _ROWS_AT_ONCE] = near.argmax(axis=1)

    _in_threads(assign, range(0, len(vectors), _ROWS_AT_ONCE), threads)
    return which


def _means(
    vectors: np.ndarray, which: np.ndarray, before: np.ndarray, threads: int, spherical: bool
) -> np.ndarray:
    """The mean of each cluster; an empty one moves to a vector of the largest, which is thereby divided."""
    sizes = np.bincount(which, minlength=len(before))
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(sizes)
    means = before.copy()
    # Whole clusters at once, of about as many vectors as stay in a core's cache.
    cuts = np.unique([0, *np.searchsorted(ends, np.arange(_ROWS_SUMMED, ends[-1], _ROWS_SUMMED)), len(sizes)])

    def add(part: int) -> None:
        first, last = cuts[part], cuts[part + 1]
        held = first + np.flatnonzero(sizes[first:last])
        if len(held):
            start = ends[first] - sizes[first]
            rows = vectors[order[start : ends[last - 1]]]
            sums = np.add.reduceat(rows, ends[held] - sizes[held] - start, axis=0)
            means[held] = sums / sizes[held, None].astype(np.float32)

    _in_threads(add, range(len(cuts) - 1), threads)
    empty = np.flatnonzero(sizes == 0)
    largest = np.argsort(-sizes, kind="stable")[: len(empty)]
    means[empty[: len(largest)]] = vectors[order[ends[largest] - 1]]
    if spherical:
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        means = np.where(lengths > 1e-6, means / np.maximum(lengths, 1e-6), before)
    return means


def _in_threads(work: Callable[[int], None], parts: range, threads: int) -> None:
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, parts))
