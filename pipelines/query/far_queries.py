"""Tells when queries are farther from everything in the index than those it was tuned with."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..index.answers import Answers
from ..index.scores import nearness
from ..store.index_manifest import IndexManifest

logger = logging.getLogger(__name__)
_MANY = 0.2
"""Share of queries; of those that the index was tuned with, three in a thousand are as far."""
_ENOUGH = 100
"""Queries that tell before the last one is answered."""


class FarQueries:
    """Counts queries that are farther from their nearest item than 997 of 1,000 tuning queries were.

    Args:
        manifests: of the index shards. Where all of it is searched exactly, no query is far.

    Attributes:
        limit: how near the nearest item of a query is that is not far.
    """

    def __init__(self, manifests: Sequence[IndexManifest]) -> None:
        self._metric = manifests[0].metric
        tuned = [one.farthest for one in manifests if one.farthest is not None]
        limits = nearness(np.array(tuned, np.float32), self._metric)
        self._score = tuned[int(limits.argmin())] if tuned else None
        self._queries = self._far = 0
        self._told = False
        self.limit = float(limits.min(initial=np.inf)) if tuned else -np.inf

    def look_at(self, answers: Answers) -> None:
        """Counts the queries of a block, and tells once there are enough of them."""
        self.add(*far_of(answers.near, self.limit))
        if self._queries >= _ENOUGH:
            self.tell()

    def add(self, queries: int, far: int) -> None:
        """Counts queries, and those of them that are far."""
        self._queries += queries
        self._far += far

    def tell(self) -> None:
        """Logs one warning, if many queries were far and none was logged before."""
        if self._told or not self._queries or self._far <= _MANY * self._queries:
            return
        self._told = True
        logger.warning(
            "%s of %s queries are farther from everything than those that the index was tuned with (best score %s "
            "%.3f): some of their nearest items may be missed. --exact compares with everything; "
            "index.tuning_queries tunes the next index with queries like these",
            f"{self._far:,}",
            f"{self._queries:,}",
            "below" if self._metric == "cosine" else "above",
            self._score,
        )


def far_of(near: np.ndarray, limit: float) -> tuple[int, int]:
    """How many queries have an answer, and for how many no item is as near as `limit`; `near` as in `Answers`."""
    best = near.max(axis=1, initial=-np.inf)
    answered = best > -np.inf
    return int(answered.sum()), int((best[answered] < limit).sum())
