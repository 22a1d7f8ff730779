"""The recall of an index shard and its addition together, measured again where it can have changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..store.index_manifest import SearchSettings
from .scores import checked
from .searcher import Searcher
from .shard import IndexShard
from .trials import ASKED, Trial, asked_trial, make_trials

_ADDED = 50
"""New items that are asked for. The error of their mean is some 0.004, and they are a tenth or two of all at most."""


class _Together:
    """An index shard and its addition as one index: see `trials.Tunable`.

    Args:
        base: open to be searched.
        hidden: rows of its items that are not served, int64 (m,).
        addition: what stands beside it.
    """

    def __init__(self, base: IndexShard, hidden: np.ndarray, addition: IndexShard) -> None:
        self._base, self._addition = base.searcher, addition.searcher
        shown = np.delete(np.arange(len(base.items)), hidden)
        held = np.zeros(len(self._base), bool)
        held[base.numbers_of(shown)] = True
        self._place = np.where(held, np.cumsum(held) - 1, -1)
        """The number of each vector of the base among all; -1 where it has no item left."""
        self._of_base = int(held.sum())
        self.vectors = np.concatenate([self._base.vectors[held], self._addition.vectors])
        self.metric, self.parameters = self._base.metric, self._base.parameters
        self.threads = self._base.threads
        exact = replace(self.parameters, algorithm="brute_force", leaves=0)
        self._exact = Searcher(self.vectors, self.metric, exact, self._base.settings, self.threads)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return self._base.dim

    def some_added(self) -> np.ndarray:
        """The numbers of up to `_ADDED` vectors of the addition, evenly spread: int64."""
        last = len(self._addition) - 1
        return self._of_base + np.unique(np.linspace(0, last, min(_ADDED, last + 1)).astype(np.int64))

    def search(self, queries: np.ndarray, k: int, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """By comparing with every vector."""
        return self._exact.search(queries, k, exact=True)

    def approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search.search` asks both: the base for more where hidden vectors took places, the addition for itself."""
        wide = 0
        while True:
            numbers, near = self._base.approximate(queries, k + wide, leaves, pre_reorder + wide)
            places = np.where(numbers >= 0, self._place[numbers], -1)
            lost = int(((numbers >= 0) & (places < 0)).sum(axis=1).max(initial=0))
            if lost <= wide:
                break
            wide = 2 * lost
        added, added_near = self._addition.search(queries, k)
        places = np.concatenate([places, np.where(added >= 0, added + self._of_base, -1)], axis=1)
        return places, np.concatenate([near, added_near], axis=1)


def lowest_recalls(
    base: IndexShard, hidden: np.ndarray, addition: IndexShard, asked: np.ndarray | None = None
) -> dict[str, float]:
    """Kind of query -> the lowest recall at any k that the base is tuned for; empty where it is searched exactly.

    That of the user's queries is measured again. Of the others it is a mean by the number of items: of what was
    measured where the base was built, and of what some of the new items find in both. A query that is like those of the
    base finds no less than it did there, as fewer of its nearest are to be found among quantised vectors; what the new
    ones find decides. As they weigh little, some of them suffice.

    Args:
        base: open to be searched.
        hidden: rows of its items that are not served, int64 (m,).
        addition: what stands beside it.
        asked: queries of the user's that the base was tuned with, float32 (q, dim); None for none.
    """
    settings = [one for one in base.searcher.settings if one.pre_reorder]
    if not settings:
        return {}
    most = settings[-1].k
    together = _Together(base, hidden, addition)
    trials: dict[str, Trial] = {}
    if len(addition.searcher):
        trials = make_trials(together, most, own=together.some_added())
    if asked is not None:
        trials[ASKED] = asked_trial(together, most, checked(asked, together.metric))
    new = len(addition.items) / (len(base.items) - len(hidden) + len(addition.items))

    def recall(kind: str, one: SearchSettings) -> float:
        known = one.recalls[kind].mean
        if not len(trials.get(kind, ())):
            return known
        found = trials[kind].recall(one.k, one.leaves_to_search, one.pre_reorder).mean
        return found if kind == ASKED else (1 - new) * known + new * found

    kinds = {kind for one in settings for kind in one.recalls}
    return {kind: min(recall(kind, one) for one in settings if kind in one.recalls) for kind in sorted(kinds)}
