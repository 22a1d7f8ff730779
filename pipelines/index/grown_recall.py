"""The recall of an index shard and its addition together, measured again where it can have changed."""

from __future__ import annotations

import numpy as np

from ..store.index_manifest import SearchSettings
from .among import nearest_among
from .scores import checked, nearness
from .shard import IndexShard
from .stored import JoinedVectors
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
        held = np.zeros(len(self._base), bool)
        held[base.numbers_of(np.delete(np.arange(len(base.items)), hidden))] = True
        self._held = np.flatnonzero(held)
        """The vectors of the base that have an item left, by number."""
        self._place = np.where(held, np.cumsum(held) - 1, -1)
        """The number of each vector of the base among all; -1 where it has no item left."""
        self.vectors = JoinedVectors(self._base.vectors, self._held, self._addition.vectors)
        self.metric, self.parameters = self._base.metric, self._base.parameters
        self.threads = self._base.threads

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return self._base.dim

    def some_added(self) -> np.ndarray:
        """The numbers of up to `_ADDED` vectors of the addition, evenly spread: int64."""
        last = len(self._addition) - 1
        return len(self._held) + np.unique(np.linspace(0, last, min(_ADDED, last + 1)).astype(np.int64))

    def search(self, queries: np.ndarray, k: int, *, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """By comparing with every vector, of which no more than some are copied at once."""
        numbers, scores = nearest_among(self._base, self._held, queries, k)
        added, of_added = self._addition.search(queries, k, exact=True)
        places = self._numbered(numbers, added)
        scores = np.concatenate([scores, of_added], axis=1)
        order = np.argsort(-nearness(scores, self.metric), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _numbered(self, numbers: np.ndarray, added: np.ndarray) -> np.ndarray:
        """Vectors of the base and the addition, side by side, as they are numbered among all; -1 for none."""
        of_base = np.where(numbers >= 0, self._place[numbers], -1)
        return np.concatenate([of_base, np.where(added >= 0, added + len(self._held), -1)], axis=1)

    def approximate(
        self, queries: np.ndarray, k: int, leaves: int, pre_reorder: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search.search` asks both: the base for more where hidden vectors took places, the addition for itself."""
        wide = 0
        while True:
            numbers, near = self._base.approximate(queries, k + wide, leaves, pre_reorder + wide)
            lost = int(((numbers >= 0) & (self._place[numbers] < 0)).sum(axis=1).max(initial=0))
            if lost <= wide:
                break
            wide = 2 * lost
        added, added_near = self._addition.search(queries, k)
        return self._numbered(numbers, added), np.concatenate([near, added_near], axis=1)


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
