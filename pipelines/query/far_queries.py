"""Tells when queries are farther from everything in the index than those it was tuned with."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..index.scores import nearness
from ..index.search import Matches
from ..index.shard import IndexShard

logger = logging.getLogger(__name__)
_MANY = 0.1
"""Share of queries; of those that the index was tuned with, one in a hundred is as far."""
_ENOUGH = 100
"""Queries that tell before the last one is answered."""


class FarQueries:
    """Counts queries that are farther from their nearest item than 99 of 100 tuning queries were.

    Args:
        shards: the index. Where all of it is searched exactly, no query is far.
    """

    def __init__(self, shards: Sequence[IndexShard]) -> None:
        self._metric = shards[0].manifest.metric
        tuned = [s.manifest.farthest for s in shards if s.manifest.farthest is not None]
        limits = nearness(np.array(tuned, np.float32), self._metric)
        self._limit = float(limits.min(initial=np.inf))
        self._score = tuned[int(limits.argmin())] if tuned else None
        self._queries = self._far = 0
        self._told = False

    def look_at(self, matches: Matches) -> None:
        """Counts the queries of a block, and tells once there are enough of them."""
        if self._score is None or not len(matches.query):
            return
        starts = np.flatnonzero(np.diff(matches.query, prepend=-1))
        best = np.maximum.reduceat(nearness(matches.score, self._metric), starts)
        self._queries += len(best)
        self._far += int((best < self._limit).sum())
        if self._queries >= _ENOUGH:
            self.tell()

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
