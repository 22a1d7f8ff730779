"""Builds an index of vectors in the way that is the cheapest to search."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lookalike.model.cores import cores

from ..store.index_manifest import Metric
from .scores import LONG, SHORT, checked, lengths_of, radius
from .searcher import Searcher
from .stored import StoredVectors, stored
from .training import find_leaves, trained
from .tuning import TUNED_KS, BuildOptions, Shape, cost, exactly, price, trials_for, tune, ways_to_build


def build(
    vectors: np.ndarray, metric: Metric, options: BuildOptions, asked: np.ndarray | None = None
) -> Searcher:
    """Builds an index and finds its search settings; the same input gives the same files, to the byte.

    Where no setting reaches the recall target for less than comparing with every vector costs, that is what is built;
    likewise where vectors are so long or so close that ScaNN could not square them in float32.

    Args:
        vectors: float32 (n, dim), n may be 0; cosine scales them to unit length.
        metric: cosine, searched as a dot product of unit vectors, or euclidean.
        options: how.
        asked: queries to tune with besides those that the vectors give rise to: float32 (q, dim); None for none.

    Raises:
        LookalikeError: naming the first vector that is not finite, or all zeros under cosine.
    """
    held = stored(checked(vectors, metric), options.bytes, metric)
    vectors = held.rounded() if isinstance(held, StoredVectors) else held
    threads = options.threads or cores()
    if metric == "euclidean" and _is_extreme(vectors):
        options = replace(options, algorithm="brute_force")
    if asked is not None:
        asked = checked(asked, metric, dim=vectors.shape[1], what="tuning query")
    best: Searcher | None = None
    least = math.inf
    for parameters in ways_to_build(len(vectors), metric, options):
        if parameters.algorithm == "brute_force":
            settings = (exactly(TUNED_KS[0], options.recall_target),)
            return Searcher(held, metric, parameters, settings, threads)
        shape = Shape.of(len(vectors), vectors.shape[1], parameters)
        if least <= cost(shape, 1, options.k):
            break
        if best is None:
            leaves = find_leaves(vectors, metric, parameters, threads)
        else:
            best.let_go()
        scann = trained(vectors, metric, parameters, threads, leaves)
        searcher = Searcher(held, metric, parameters, (), threads, scann)
        if best is None:
            trials = trials_for(searcher, options, asked)
        searcher.settings, searcher.farthest = tune(searcher, options, trials, least)
        if best is None or price(shape, searcher.settings, options.k) < least:
            best, least = searcher, price(shape, searcher.settings, options.k)
    assert best is not None
    parameters, scann = best.parameters, best.scann
    if not any(one.pre_reorder for one in best.settings):
        parameters = replace(parameters, algorithm="brute_force", leaves=0)
        return Searcher(held, metric, parameters, best.settings, threads)
    if scann is None:
        scann = trained(vectors, metric, parameters, threads, leaves)
    return Searcher(held, metric, parameters, best.settings, threads, scann, best.farthest)


def _is_extreme(vectors: np.ndarray) -> bool:
    return radius(vectors) < SHORT or bool((lengths_of(vectors) > LONG).any())
