"""Which answers a page shows, and where: the surest, the doubtful, those with nothing near, and then the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .overview import Overview

FEW = 8
"""Queries of a section."""
MISTAKES, SUREST, DOUBTFUL, FAR, OTHERS = "mistakes", "surest", "doubtful", "far", "others"


@dataclass(frozen=True)
class Chosen:
    """What is shown of some answers.

    Attributes:
        sections: name -> positions of queries, in the order in which they are shown; none is in two.
        left_out: queries that were answered and are in no section.
        limit: the score that what is in `FAR` does not reach; None where nothing tells one.
        far: queries that do not reach it, shown or not; 0 without one.
    """

    sections: Mapping[str, tuple[int, ...]]
    left_out: int
    limit: float | None
    far: int = 0


def choose(
    overview: Overview, metric: str, rows: int, farthest: float | None = None, few: int = FEW
) -> Chosen:
    """Chooses the queries of each section.

    Nothing is near a query whose best score is farther than `farthest`; where that is not known, the farthest of all
    are shown. Doubtful is where the probability of the best match is nearest to one half; without probabilities, where
    the second match is nearly as near as the first (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints",
    IJCV 60, 2004, section 7.1, asks with the ratio), among the half of the queries whose best matches are farther.

    Args:
        overview: of all answers.
        metric: of the index.
        rows: queries in all sections together, at most.
        farthest: score with the nearest item that nearly all queries have which the index was tuned with.
        few: queries of a section at most, but for the others.
    """
    near = overview.best if metric == "cosine" else -overview.best
    lead = np.abs(overview.best - overview.second)
    free = np.isfinite(near)
    order = np.argsort(-near, kind="stable")
    few = min(few, max(1, len(near) // 4))
    sections: dict[str, tuple[int, ...]] = {}

    def take(name: str, candidates: np.ndarray, most: int = few) -> None:
        room = rows - sum(map(len, sections.values()))
        chosen = candidates[free[candidates]][: max(0, min(most, room))]
        free[chosen] = False
        sections[name] = tuple(chosen.tolist())

    take(MISTAKES, order[overview.right[order] == 0] if len(overview.right) else order[:0])
    far = order[::-1]
    limit = None if farthest is None else farthest if metric == "cosine" else -farthest
    take(FAR, far if limit is None else far[near[far] < limit])
    take(SUREST, order)
    if len(overview.probability):
        doubtful = np.argsort(np.abs(overview.probability - 0.5), kind="stable")
    else:
        farther = near <= np.median(near[np.isfinite(near)]) if np.isfinite(near).any() else free
        # NaN, where there is no second match, is sorted last.
        doubtful = np.argsort(np.where(farther, lead, np.nan), kind="stable")
    take(DOUBTFUL, doubtful)
    take(OTHERS, np.flatnonzero(free), rows)
    shown = {name: sections[name] for name in (MISTAKES, SUREST, DOUBTFUL, FAR, OTHERS)}
    beyond = 0 if limit is None else int((near < limit).sum())
    return Chosen(shown, len(near) - sum(map(len, shown.values())), farthest, beyond)
