"""The ScaNN wrapper: validated vectors in, exact scores out, files that can be moved."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.model.cores import cores
from lookalike.model.errors import LookalikeError

from ..store.index_manifest import IndexParameters, Metric, SearchSettings, parse_settings
from . import native
from .scores import LONG, SHORT, centre, checked, lengths_of, nearness, pair_scores, radius
from .stored import StoredVectors, Vectors, read_vectors, write_vectors
from .tuning import depth_for, is_exact

_SLACK = 2
"""Results beyond the tuned k that need no wider search: the merge asks for k + 1, or k + 2 to skip one."""
_EXACT_SLACK = 8
"""Euclidean brute force ranks by |q|^2 + |x|^2 - 2qx, so near ties are decided on a few more rows."""
_COMPARED = 1 << 14
"""Vectors that a query is compared with at once, without ScaNN."""
_SEARCHER = "searcher.json"


class Searcher:
    """An index in memory; `cheapest.build` and `load` make one.

    Attributes:
        vectors: float32 (n, dim), read-only, or what is read as that; unit length for cosine. A memory map if the
            index was loaded.
        metric: cosine or euclidean.
        parameters: how it was built.
        settings: how it is searched, one for each k it was tuned for, ascending; none before it is tuned.
        farthest: see `IndexManifest.farthest`.
        threads: cores that a batch of queries is searched on.
        scann: ScaNN's own searcher; None for brute force, which needs none on disk.
    """

    def __init__(
        self,
        vectors: Vectors,
        metric: Metric,
        parameters: IndexParameters,
        settings: Sequence[SearchSettings],
        threads: int,
        scann: Any = None,
        farthest: float | None = None,
    ) -> None:
        if isinstance(vectors, np.ndarray):
            vectors = vectors.view()
            vectors.flags.writeable = False
        self.vectors = vectors
        self.metric: Metric = metric
        self.parameters = parameters
        self.settings = tuple(settings)
        self.farthest = farthest
        self.threads = threads
        self.scann = scann
        if scann is not None:
            scann.set_num_threads(threads)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.vectors.shape[1])

    def search(self, queries: np.ndarray, k: int, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The `k` nearest vectors of each query, nearest first.

        Args:
            queries: shape (q, dim), q may be 0.
            k: results a query; beyond the k that was tuned for, more is looked at in proportion.
            exact: compare with every vector instead of using the tuned settings.

        Returns:
            rows: int64 (q, k), -1 where there are fewer than k results.
            scores: float32 (q, k), cosine or euclidean distance, NaN where the row is -1. By `pair_scores` for
                an exact search; otherwise ScaNN's own, up to 3e-7 off (measured).

        Raises:
            LookalikeError: for k below 1, another dimension, or naming the first query that has no score.
        """
        if k < 1:
            raise LookalikeError(f"Expected at least 1 result a query. Received: k={k}")
        queries = checked(queries, self.metric, dim=self.dim, what="query")
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), np.nan, np.float32)
        wanted = min(k, len(self))
        if wanted and len(queries):
            exact = exact or is_exact(len(self), wanted)
            depth = None if exact else depth_for(self.settings, max(1, wanted - _SLACK))
            far = self._too_far(queries)
            near: Any = slice(None)
            if far.any():
                rows[far, :wanted], scores[far, :wanted] = self._compared(queries[far], wanted)
                near = ~far
            if len(asked := queries[near]):
                found = self._approximate(asked, wanted, *depth) if depth else self._exact(asked, wanted)
                rows[near, :wanted], scores[near, :wanted] = found
        return rows, scores

    def _too_far(self, queries: np.ndarray) -> np.ndarray:
        """Queries whose squared distances ScaNN could not hold in float32, bool (queries,)."""
        if self.metric == "cosine":
            return np.zeros(len(queries), bool)
        return lengths_of(self._shifted(queries)) > LONG

    def _compared(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `_exact`, without ScaNN: every pair by `pair_scores`, for the few queries that need it."""
        rows, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for number in range(len(queries)):
            query = queries[number : number + 1]
            parts = (
                np.arange(start, min(len(self), start + _COMPARED))
                for start in range(0, len(self), _COMPARED)
            )
            distances = np.concatenate(
                [pair_scores(self.vectors, query, part[None], self.metric, 1)[0] for part in parts]
            )
            rows[number] = np.argsort(distances, kind="stable")[:k]
            scores[number] = distances[rows[number]]
        return rows, scores

    def _shifted(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors as ScaNN compares them for an exact search: from the mean, and scaled to what float32 can square.

        Without centring, squared distances of vectors far from the origin cancel: 1000 + noise of 64
        dimensions gave errors of 81 where the distances were 60, and negative squares.
        """
        if self._scale == 1:
            with np.errstate(over="ignore"):
                return vectors - self._middle
        return ((vectors.astype(np.float64) - self._middle) * self._scale).astype(np.float32)

    @functools.cached_property
    def _middle(self) -> np.ndarray:
        return centre(np.asarray(self.vectors))

    @functools.cached_property
    def _scale(self) -> float:
        """A power of two that makes the radius about 1 where its square would leave float32's range; else 1."""
        if not self.radius or SHORT <= self.radius <= LONG:
            return 1.0
        return 2.0 ** -math.frexp(self.radius)[1]

    def _approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]:
        all_leaves = self.parameters.leaves
        leaves = min(all_leaves, leaves)
        rows, distances = self.approximate(queries, k, leaves, pre_reorder)
        # The nearest leaves may hold fewer than k vectors.
        while leaves < all_leaves and len(short := np.flatnonzero(rows[:, -1] < 0)):
            leaves = min(all_leaves, leaves * 2)
            rows[short], distances[short] = self.approximate(queries[short], k, leaves, pre_reorder)
        if self.metric == "cosine":
            return rows, np.clip(distances, -1, 1, out=distances)
        scores = np.sqrt(np.maximum(distances, 0))
        short = (scores < SHORT) & (rows >= 0)
        asked = np.flatnonzero(short.any(axis=1))
        if len(asked):
            # Their squares are below what float32 holds.
            of_short = np.where(short[asked], rows[asked], -1)
            measured = pair_scores(self.vectors, queries[asked], of_short, self.metric, self.threads)
            scores[asked] = np.where(short[asked], measured, scores[asked])
            _put_in_order(rows, scores, self.metric)
        return rows, scores

    def approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """ScaNN's answer with these settings to queries that `scores.checked` has passed.

        Returns:
            rows: int64 (q, k), -1 for none.
            distances: float32 (q, k), dot product or squared distance, NaN for none.
        """
        # ScaNN reorders by what rounding left, not at unit length: its first k are nearly, but not all, those wanted.
        rescored = isinstance(self.vectors, StoredVectors) and self.vectors.unit
        wide = min(len(self), k + k // 4 + 4) if rescored else k
        rows, distances = native.asked(
            self.scann,
            queries,
            wide,
            self.threads,
            leaves or native.AS_BUILT,
            max(pre_reorder, wide),
            by_leaf=self.parameters.algorithm == "flat_tree",
        )
        if rescored:
            distances = pair_scores(self.vectors, queries, rows, self.metric, self.threads)
            _put_in_order(rows, distances, self.metric)
        return rows[:, :k], distances[:, :k]

    def _exact(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        shifted, wide = queries, k
        if self.metric == "euclidean":
            shifted, wide = self._shifted(queries), min(len(self), k + _EXACT_SLACK)
        rows, _ = native.asked(self._brute_force, shifted, wide, self.threads)
        scores = pair_scores(self.vectors, queries, rows, self.metric, self.threads)
        _put_in_order(rows, scores, self.metric)
        return rows[:, :k], scores[:, :k]

    @functools.cached_property
    def _brute_force(self) -> Any:
        vectors = np.asarray(self.vectors)
        if self.metric == "euclidean":
            vectors = self._shifted(vectors)
        scann = native.builder(vectors, self.metric, 1, self.threads).score_brute_force().build()
        scann.set_num_threads(self.threads)
        return scann

    def let_go(self) -> None:
        """Frees what ScaNN holds in memory; it can only be searched exactly then."""
        self.scann = None
        vars(self).pop("_brute_force", None)

    @functools.cached_property
    def radius(self) -> float:
        """Greatest distance from the mean; ScaNN's squared distances err by some 1e-6 of its square."""
        return radius(np.asarray(self.vectors))

    def save(self, folder: str) -> list[str]:
        """Writes the index into an existing local folder.

        Returns:
            The names of the files, sorted. They hold no absolute path, so that the folder may be moved.
        """
        before = set(os.listdir(folder))
        if self.scann is not None:
            native.write(self.scann, folder)
        else:
            write_vectors(folder, self.vectors, self.parameters.bytes)
        fields = {
            "metric": self.metric,
            "parameters": asdict(self.parameters),
            "settings": [asdict(settings) for settings in self.settings],
        }
        Path(folder, _SEARCHER).write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
        return sorted(set(os.listdir(folder)) - before)


def _put_in_order(rows: np.ndarray, scores: np.ndarray, metric: Metric) -> None:
    """Sorts answers where ScaNN's order is not that of the scores: rows that differ in the last bits."""
    near = nearness(scores, metric)
    wrong = np.flatnonzero((near[:, 1:] > near[:, :-1]).any(axis=1))
    if len(wrong):
        order = np.argsort(-near[wrong], axis=1, kind="stable")
        rows[wrong] = np.take_along_axis(rows[wrong], order, axis=1)
        scores[wrong] = np.take_along_axis(scores[wrong], order, axis=1)


def load(folder: str) -> Searcher:
    """Opens an index from a local folder that `save` wrote, wherever it now lies.

    The files must be known to be whole: ScaNN answers wrongly from a truncated one and crashes without one,
    so `shard.open_index_shard` checks their digests before it calls this.

    Raises:
        LookalikeError: if a file of ours is unreadable or ScaNN refuses its files.
    """
    folder = str(Path(folder).absolute())
    try:
        fields = json.loads(Path(folder, _SEARCHER).read_text("utf-8"))
        metric: Metric = fields["metric"]
        parameters = IndexParameters(**fields["parameters"])
        settings = parse_settings(fields["settings"])
        vectors = read_vectors(folder, parameters.bytes, metric)
        scann = None if parameters.algorithm == "brute_force" else native.opened(folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        raise LookalikeError(f"Expected the files of an index in {folder}. Received: {error}") from error
    return Searcher(vectors, metric, parameters, settings, cores(), scann)
