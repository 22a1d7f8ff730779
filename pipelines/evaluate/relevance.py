"""What is relevant to a query: the items of its class, by a field, or what a file of judgements says (TREC qrels).

Both give grades for a block of queries: above 0 relevant, 0 not, below 0 junk that is taken out of the ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from lookalike.model.errors import LookalikeError

from ..filesystem.text import lines
from .labels import Labels

JUNK = -1
MOST = 100
"""The highest grade; 2 to its power is still exact."""
EASY, HARD = 2, 1
"""Grades of a file for the set-ups of Oxford and Paris."""
WHOLE = "all"
"""Name of the only set-up where there is no easy, medium and hard."""
SETUPS: Mapping[str, Mapping[int, int]] = {
    "easy": {EASY: 1, HARD: JUNK},
    "medium": {EASY: 1, HARD: 1},
    "hard": {EASY: JUNK, HARD: 1},
}
"""What the grades of a file become in each; junk is junk in all. Source: Radenovic et al., CVPR 2018."""


class Relevance(Protocol):
    """Tells which items are relevant.

    Attributes:
        setups: names of the ways to measure; one, or easy, medium and hard.
    """

    setups: tuple[str, ...]

    def why_not(self, query_id: str) -> str | None:
        """Why a query cannot be measured, whatever the corpus holds; None if it can."""

    def grades(self, query_ids: Sequence[str], setup: str) -> np.ndarray:
        """int8 (queries, items), the items by number."""


class SameValue:
    """Relevant is what has the query's value of a field. No value is like no other.

    Args:
        labels: of items and queries.
    """

    setups: tuple[str, ...] = (WHOLE,)

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def why_not(self, query_id: str) -> str | None:
        """See `Relevance`."""
        return f"it has no {self.labels.name}" if self.labels.of_query(query_id) is None else None

    def grades(self, query_ids: Sequence[str], setup: str) -> np.ndarray:
        """See `Relevance`."""
        return (self.labels.codes(query_ids)[:, None] == self.labels.items).astype(np.int8)


class Judged:
    """Relevant is what a file of judgements says; what it does not name is not relevant.

    Args:
        judgements: query id -> item id -> grade, as `read_qrels` gives it.
        numbers: item id -> number of the item, -1 if the corpus has none; for every id in `judgements`.
        count: items of the corpus.
        difficulty: measure easy, medium and hard by themselves, grades being `EASY`, `HARD`, 0 or below.

    Attributes:
        queries: ids of the queries that are judged.
        unknown: ids of items that are judged but not in the corpus, sorted. They count nowhere.
        setups: see `Relevance`.
    """

    def __init__(
        self,
        judgements: Mapping[str, Mapping[str, int]],
        numbers: Mapping[str, int],
        count: int,
        difficulty: bool = False,
    ) -> None:
        self.setups: tuple[str, ...] = tuple(SETUPS) if difficulty else (WHOLE,)
        highest = max((grade for grades in judgements.values() for grade in grades.values()), default=0)
        if difficulty and highest > EASY:
            raise LookalikeError(
                f"Expected grades {EASY} for easy, {HARD} for hard, 0 for not relevant and {JUNK} for junk. "
                f"Received: {highest}"
            )
        self.unknown = sorted(item_id for item_id, number in numbers.items() if number < 0)
        self.queries = frozenset(judgements)
        self._judgements, self._numbers, self._count = judgements, numbers, count

    def why_not(self, query_id: str) -> str | None:
        """See `Relevance`."""
        return None if query_id in self._judgements else "no judgement names it"

    def grades(self, query_ids: Sequence[str], setup: str) -> np.ndarray:
        """See `Relevance`."""
        becomes = SETUPS.get(setup, {})
        grades = np.zeros((len(query_ids), self._count), np.int8)
        for row, query_id in zip(grades, query_ids, strict=True):
            for item_id, grade in self._judgements[query_id].items():
                if (number := self._numbers[item_id]) >= 0:
                    row[number] = becomes.get(grade, grade)
        return grades


def read_qrels(path: str) -> dict[str, dict[str, int]]:
    """Reads judgements: lines of `query_id iteration item_id grade`, separated by spaces or, all of them, by tabs.

    With tabs ids may hold spaces. The iteration is not used. A grade below 0 is junk and becomes -1.

    Source: the qrels of trec_eval.

    Returns:
        Query id -> item id -> grade.

    Raises:
        LookalikeError: naming the line that is not one, or judges a pair for the second time and otherwise.
        OSError: if the file cannot be read.
    """
    judgements: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines(path), 1):
        try:
            text = line.decode("utf-8")
            if not text.strip(" "):
                continue
            query_id, _, item_id, written = text.split("\t") if "\t" in text else text.split()
            grade = max(int(written), JUNK)
        except ValueError:
            received = line[:200].decode("utf-8", "backslashreplace")
            raise LookalikeError(
                f"{path}, line {number}: expected `query_id iteration item_id grade`, with a whole number as "
                f"the grade; separated by tabs if ids hold spaces. Received: {received!r}"
            ) from None
        if grade > MOST:
            raise LookalikeError(
                f"{path}, line {number}: expected a grade of at most {MOST}. Received: {grade}"
            )
        before = judgements.setdefault(query_id, {}).setdefault(item_id, grade)
        if before != grade:
            raise LookalikeError(
                f"{path}, line {number}: expected one grade for {item_id} and the query {query_id}. "
                f"Received: {before} and {grade}"
            )
    if not judgements:
        raise LookalikeError(f"Expected judgements. Received: none in {path}")
    return judgements
