"""Chooses how an index is built and searched: by its size, and by recall measured on it, never by a clock."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..embedding.plan import Plan
from ..store.index_manifest import Algorithm, Bytes, IndexParameters, Metric, Recall, SearchSettings
from .trials import Trial, Tunable, make_trials

_BRUTE_FORCE_BELOW = 20_000
_TREE_FROM = 100_000
_TRAINING_SAMPLE = 250_000
"""Trained on 200,000 of 200,000 vectors in 2,000 clusters, 2 leaves gave recall 0.993; on 100,000, 0.981."""
TUNED_KS = (10, 100)
"""Results a query that settings are tuned for, whatever the job asks for."""
_SEED = 0
_FAR = 0.003
"""Share of the tuning queries that are farther from everything than `IndexManifest.farthest` tells.

A hundredth was too near: beyond it lay 22 % of the 341 photographs that a catalogue of 16 views of 1,534 others is
asked with, whose recall is 0.997. Beyond this one lie 12 % of them, and all of what is random.
"""
_EXACT_FROM = 8
"""Above an eighth of the index, reordering scattered rows costs more than reading all in order."""

_LEAF_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
_REORDER_STEPS = (1.5, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 48, 64, 96, 128)
_MOST_CANDIDATES = 1280
"""Beyond these, or 16 times k, the steps are looked at only where fewer do not suffice."""
_TREES: tuple[Algorithm, ...] = ("tree", "flat_tree")
_PRODUCT = 0.14
_FLAT_LEAF = 10_500
_TABLES = 570
"""What a byte of centroids and vectors costs in a product of matrices, a leaf that is opened, and a dimension of the
tables that codes are looked up in: in bytes of codes, which took 38 ps each. Bytes and leaves by least squares over
189 settings of 215 to 858 leaves on 46,020 vectors of photographs, 256 dimensions, 5,000 queries at once (5.2 ps a
byte, 0.40 us a leaf), tables from a profile (5.5 us a query), all on a busy machine; the price of a leaf with codes,
0.16 us, is left out.
"""
_RANDOM_ACCESS = 3.0
"""A byte of a row fetched for reordering costs as much as this many bytes of codes scanned in order.

Measured on 200,000 x 256, ScaNN 1.3.4, 2 cores: 0.53 us for a leaf's 14 kB of codes and 0.08 us for a row of
1 kB under cosine (ratio 2.0), 1.66 us for 28 kB and 0.17 us for a row under euclidean (2.8).
"""


@dataclass(frozen=True)
class BuildOptions:
    """How an index is to be built.

    Attributes:
        recall_target: recall that the search settings must reach, 0 to 1.
        threads: cores to use; None for all.
        algorithm: None for what suits the number of vectors.
        k: the most results a query that the job asks for; see `tuned_ks`.
        bytes: how vectors are stored.
    """

    recall_target: float = 0.99
    threads: int | None = None
    algorithm: Algorithm | None = None
    k: int = TUNED_KS[0]
    bytes: Bytes = "float32"


@dataclass(frozen=True)
class AskedQueries:
    """Queries of the user's to tune with.

    Attributes:
        digest: of their content.
        load: gives their vectors, float32 (q, dim), for the corpus as it is; called only where an index shard is built.
    """

    digest: str
    load: Callable[[Plan], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """What the cost of a search depends on: rows, dimension, leaves (0 without a tree), and whether there are codes."""

    count: int
    dim: int
    leaves: int
    codes: bool = True

    @classmethod
    def of(cls, count: int, dim: int, parameters: IndexParameters) -> Shape:
        """The shape of an index that is built in this way."""
        return cls(count, dim, parameters.leaves, parameters.algorithm != "flat_tree")


def parameters_for(count: int, algorithm: Algorithm | None = None) -> IndexParameters:
    """What suits an index of `count` vectors; `algorithm` overrules the choice by size."""
    if algorithm is None:
        algorithm = "brute_force" if count < _BRUTE_FORCE_BELOW else "ah" if count < _TREE_FROM else "tree"
    leaves = max(1, min(count, round(2 * count**0.5))) if algorithm in _TREES else 0
    return IndexParameters(algorithm, leaves, min(count, _TRAINING_SAMPLE), _SEED)


def ways_to_build(count: int, metric: Metric, options: BuildOptions) -> list[IndexParameters]:
    """How an index of `count` vectors may be built: as the first, or as the next if that is cheaper to search.

    A tree without codes is for cosine, where a product of matrices gives the scores as they are, and for float32,
    which is what ScaNN multiplies.
    """
    ways = [parameters_for(count, options.algorithm)]
    large = not options.algorithm and count >= _BRUTE_FORCE_BELOW
    if large and (metric, options.bytes) == ("cosine", "float32"):
        ways = [parameters_for(count, "flat_tree"), parameters_for(count, "tree")]
    return [replace(way, bytes=options.bytes) for way in ways]


def cost(shape: Shape, leaves_to_search: int, pre_reorder: int) -> float:
    """What a query costs, in bytes of codes that are scanned.

    With codes (4 bits for 2 dimensions): centroids, tables, codes, rows to reorder. Without: centroids, the vectors
    themselves, and the rows that are scored at the end. Never a clock: two builds of the same vectors must choose the
    same.
    """
    fraction = leaves_to_search / shape.leaves if shape.leaves else 1.0
    row = shape.dim * 4
    rows = _RANDOM_ACCESS * pre_reorder * row
    if shape.codes:
        scanned = _TABLES * shape.dim + fraction * shape.count * shape.dim / 4
    else:
        scanned = _FLAT_LEAF * leaves_to_search + _PRODUCT * fraction * shape.count * row
    return _PRODUCT * shape.leaves * row + scanned + rows


def exact_cost(shape: Shape) -> float:
    """What comparing with every vector is taken to cost; more than it does, for it is the last resort."""
    return float(_TABLES * shape.dim + shape.count * shape.dim * 4)


def price(shape: Shape, settings: Sequence[SearchSettings], k: int) -> float:
    """What a query for `k` results costs with these settings."""
    depth = depth_for(settings, k)
    return cost(shape, *depth) if depth else exact_cost(shape)


Measure = Callable[[int, int, float], Mapping[str, Recall]]
"""(leaves_to_search, pre_reorder, least) -> kind of query -> recall; of no other kind once one is below `least`."""


def choose(
    shape: Shape, measure: Measure, *, k: int, target: float, below: float = math.inf
) -> SearchSettings:
    """The cheapest setting on a grid whose recall is at least `target` with 95 % confidence, for every kind of query.

    Recall grows with both numbers, so the border between enough and too little is a staircase: of the fewest leaves
    the fewest candidates that suffice, then of more leaves.

    Args:
        shape: of the index.
        measure: gives the recalls at `k`.
        k: results a query.
        target: recall, 0 to 1.
        below: what a query may cost; settings that cost as much or more are not looked at.

    Returns:
        The setting; exact search if none reaches the target for less than that costs, and for less than `below`.
    """
    best, best_cost = exactly(k, target), min(exact_cost(shape), below)
    leaf_steps = [s for s in _LEAF_STEPS if s < shape.leaves] + [shape.leaves]
    most = max(_MOST_CANDIDATES, 16 * k)
    reorder_steps = [step for step in (math.ceil(k * s) for s in _REORDER_STEPS) if step <= most]
    if not shape.codes:
        reorder_steps = [k]
    if below < math.inf:
        reorder_steps = [step for step in reorder_steps if cost(shape, leaf_steps[0], step) < below]
        leaf_steps = [
            step for step in leaf_steps if reorder_steps and cost(shape, step, reorder_steps[0]) < below
        ]
        if not leaf_steps:
            return best

    def is_enough(leaves: int, pre_reorder: int) -> bool:
        nonlocal best, best_cost
        tried = SearchSettings(k, leaves, pre_reorder, target, measure(leaves, pre_reorder, target))
        enough = tried.recall_lower >= target
        if enough and (price := cost(shape, leaves, pre_reorder)) < best_cost:
            best, best_cost = tried, price
        return enough

    columns = len(reorder_steps)
    # Few leaves seldom suffice with any number of candidates, which the most of them tell at once; where there is no
    # other step, the most are asked for only if fewer do not suffice.
    fewest = bisect.bisect_left(
        range(len(leaf_steps) - 1), True, key=lambda step: is_enough(leaf_steps[step], reorder_steps[-1])
    )
    for leaves in leaf_steps[fewest:]:
        if not columns or cost(shape, leaves, reorder_steps[0]) >= best_cost:
            break
        # Of the fewest it is known that the most candidates suffice.
        last = reorder_steps[columns - 1]
        if leaves in (leaf_steps[fewest], leaf_steps[-1]) or is_enough(leaves, last):
            columns = bisect.bisect_left(
                range(columns - 1), True, key=lambda column: is_enough(leaves, reorder_steps[column])
            )
    deepest, pre_reorder = leaf_steps[-1], reorder_steps[-1]
    if not best.pre_reorder and cost(shape, deepest, pre_reorder) < best_cost:
        is_enough(deepest, pre_reorder)
    if below < math.inf:
        return best
    while not best.pre_reorder and cost(shape, deepest, 2 * pre_reorder) < best_cost:
        pre_reorder *= 2
        is_enough(deepest, pre_reorder)
    if best.pre_reorder:
        return best
    reached = SearchSettings(k, deepest, pre_reorder, target, measure(deepest, pre_reorder, 0.0))
    return exactly(k, target, reached.recall)


def exactly(k: int, target: float, best_approximate: float | None = None) -> SearchSettings:
    """Exact search; in the place of a setting that reached no more than `best_approximate`."""
    return SearchSettings(k, 0, 0, target, {}, best_approximate)


def depth_for(settings: Sequence[SearchSettings], k: int) -> tuple[int, int] | None:
    """How deep an index is searched for `k` results.

    Between two k that it was tuned for the depth lies between theirs; beyond the largest it grows with k.

    Args:
        settings: one for each tuned k, ascending.

    Returns:
        leaves to search and candidates to reorder, or None for exact search.
    """
    below = max((s for s in settings if s.k <= k), key=lambda s: s.k, default=settings[0])
    above = min((s for s in settings if s.k >= k), key=lambda s: s.k, default=None)
    if not below.pre_reorder or not (above or below).pre_reorder:
        return None
    if above is None:
        grown = k / below.k
        return math.ceil(below.leaves_to_search * grown), math.ceil(below.pre_reorder * grown)
    share = (k - below.k) / (above.k - below.k) if above.k > below.k else 0.0
    leaves = below.leaves_to_search + share * (above.leaves_to_search - below.leaves_to_search)
    candidates = below.pre_reorder + share * (above.pre_reorder - below.pre_reorder)
    return math.ceil(leaves), math.ceil(candidates)


def tuned_ks(k: int) -> list[int]:
    """Results a query that settings are tuned for, where `k` is the most that the job asks for; ascending."""
    return [*TUNED_KS, *([k] if k > TUNED_KS[-1] else [])]


def is_exact(count: int, k: int) -> bool:
    """Whether so many of `count` vectors are wanted that all may as well be compared."""
    return k * _EXACT_FROM >= count


def _measured_ks(count: int, options: BuildOptions) -> list[int]:
    return [k for k in tuned_ks(options.k) if not is_exact(count, k)]


def trials_for(searcher: Tunable, options: BuildOptions, asked: np.ndarray | None = None) -> dict[str, Trial]:
    """The queries that an index is tuned with, by `trials.make_trials`; none where all searches are exact.

    Args:
        searcher: any index of the vectors; it is searched exactly.
        options: the most results a query that are tuned for.
        asked: queries of the user's to tune with, too; float32 (q, dim), as `scores.checked` returns them.
    """
    ks = _measured_ks(len(searcher), options)
    return make_trials(searcher, ks[-1], asked) if ks else {}


def tune(
    searcher: Tunable, options: BuildOptions, trials: Mapping[str, Trial], below: float = math.inf
) -> tuple[tuple[SearchSettings, ...], float | None]:
    """Settings for a trained index, measured against exact search.

    Args:
        searcher: with ScaNN's approximate search.
        options: the recall target, and a k to tune for.
        trials: queries of each kind, as `trials_for` makes them.
        below: what a query for the k of the options may cost, see `price`. Where it costs more, settings for other k
            are not looked for, if it is known that soon.

    Returns:
        The settings, one for each k, ascending; and `IndexManifest.farthest`.
    """
    count, target = len(searcher), options.recall_target
    ks = _measured_ks(count, options)
    if not ks:
        return (exactly(TUNED_KS[0], target),), None
    if not trials:
        return tuple(exactly(k, target) for k in ks), None
    shape = Shape.of(count, searcher.dim, searcher.parameters)

    def tuned(k: int, below: float = math.inf) -> SearchSettings:
        def measure(leaves: int, pre_reorder: int, least: float) -> dict[str, Recall]:
            found: dict[str, Recall] = {}
            for kind, trial in trials.items():
                found[kind] = trial.asked_of(searcher).recall(k, leaves, pre_reorder)
                if found[kind].lower < least:
                    break
            return found

        return choose(shape, measure, k=k, target=target, below=below)

    known: dict[int, SearchSettings] = {}
    if below < math.inf and options.k <= ks[0]:
        known[ks[0]] = tuned(ks[0], below)
        if not known[ks[0]].pre_reorder:
            return (known[ks[0]],), None
    far = float(np.quantile(np.concatenate([trial.best for trial in trials.values()]), _FAR))
    return tuple(known.get(k) or tuned(k) for k in ks), far if searcher.metric == "cosine" else -far
