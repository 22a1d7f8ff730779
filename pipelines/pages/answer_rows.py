"""The rows of a page of answers: a query and its matches, as templates show them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from .album import ITEM, QUERY, Album, Picture
from .relevance import Relevance
from .result_tables import OURS, PROBABILITY, AnswerTables, answer_blocks

SAME_SCORE = 0.9995
"""Cosine from which on two pictures are told as the same: that of a photograph and itself is 1 but for rounding."""
MATCHES = 20
"""Of a query at most; the table has all."""
_FACTS, _LETTERS = 12, 200
"""Fields of an item or a query, and characters of a value, that are shown at most."""
Facts = list[tuple[str, str]]
Marks = list[tuple[str, str]]


@dataclass(frozen=True)
class Match:
    """A match as it is shown.

    Attributes:
        rank: from 1.
        item_id: of the item.
        picture: of it.
        score: as text.
        title: what `score` is, and the other numbers, in words.
        frame: `good` or `bad` where relevance is known, else nothing.
        facts: name and value of its metadata.
        marks: kind and text of what is particular.
    """

    rank: int
    item_id: str
    picture: Picture
    score: str
    title: str
    frame: str = ""
    facts: Facts = field(default_factory=list)
    marks: Marks = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A query and its matches.

    Attributes:
        query_id: of the query.
        picture: of it.
        score: of the best match, a number to filter by.
        wrong: whether the best match is known to be not relevant.
        facts: name and value of what the query table told.
        matches: the first ones, in order of rank.
        more: matches that are only in the table.
        why: address of a picture that explains the first match; None if that was not asked for, or cannot be.
    """

    query_id: str
    picture: Picture
    score: float
    wrong: bool
    facts: Facts
    matches: Sequence[Match]
    more: int = 0
    why: str | None = None


@dataclass
class Found:
    """The first rows that a query has in the results, and how many it has."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0


def rows_of(tables: AnswerTables, queries: Collection[int]) -> dict[int, Found]:
    """The first rows of some queries, by the positions of these in the results. Raises as `look_over`."""
    wanted = np.array(sorted(queries), np.int64)
    found = {number: Found() for number in wanted.tolist()}
    before = 0
    for block in answer_blocks(tables) if len(wanted) else ():
        rank = block["rank"].to_numpy()
        number = before + np.cumsum(rank == 1) - 1
        before = int(number[-1]) + 1 if len(number) else before
        here = np.isin(number, wanted)
        for place, count in zip(*np.unique(number[here], return_counts=True), strict=True):
            found[int(place)].count += int(count)
        first = np.flatnonzero(here & (rank <= MATCHES))
        for place, row in zip(number[first].tolist(), block.take(pa.array(first)).to_pylist(), strict=True):
            found[place].rows.append(row)
    return found


@dataclass(frozen=True)
class RowMaker:
    """Makes rows of a page, in the order in which they are shown.

    Attributes:
        album: that has the pictures.
        tables: of the answers.
        metadata: names of the columns that the items have.
        is_cosine: whether higher scores are nearer.
        relevance: tells what is relevant; None where nothing does.
        new: items that are new; None where that is not known.
        why: id of a query -> address of a picture that explains its first match.
    """

    album: Album
    tables: AnswerTables
    metadata: Collection[str]
    is_cosine: bool
    relevance: Relevance | None = None
    new: Collection[str] | None = None
    why: Mapping[str, str] = field(default_factory=dict)

    def make(self, found: Found) -> Row:
        """The row of a query from its rows of the results."""
        rows = found.rows
        query_id = str(rows[0]["query_id"])
        asked = self.album.show(QUERY, query_id)
        matches = [self._match(row, asked) for row in rows]
        facts = self._facts(rows[0], of_query=True)
        return Row(
            query_id=query_id,
            picture=asked,
            score=float(rows[0]["score"]),
            wrong=matches[0].frame == "bad",
            facts=facts,
            matches=matches,
            more=found.count - len(rows),
            why=self.why.get(query_id),
        )

    def _match(self, row: Mapping[str, Any], asked: Picture) -> Match:
        item_id, score = str(row["item_id"]), float(row["score"])
        picture = self.album.show(ITEM, item_id)
        kind = "score" if self.is_cosine else "distance"
        shown, title = f"{score:.3f}", f"{kind} {score:.4f}"
        if self.tables.has_probability:
            shown = f"{row[PROBABILITY]:.0%}"
            title = f"probability {row[PROBABILITY]:.3f}, {title}"
        relevant = self.relevance.of_row(row) if self.relevance else None
        frame = "" if relevant is None else "good" if relevant else "bad"
        marks: Marks = []
        if (picture.sha256 is not None and picture.sha256 == asked.sha256) or (
            self.is_cosine and score >= SAME_SCORE
        ):
            marks.append(("same", "same picture"))
        if self.new is not None and item_id in self.new:
            marks.append(("new", "new"))
        return Match(int(row["rank"]), item_id, picture, shown, title, frame, self._facts(row), marks)

    def _facts(self, row: Mapping[str, Any], of_query: bool = False) -> Facts:
        ours = {*OURS, *([PROBABILITY] if self.tables.has_probability else [])}
        return [
            (name, _text(value))
            for name, value in row.items()
            if name not in ours and value is not None and (name in self.metadata) != of_query
        ][:_FACTS]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LETTERS else text[:_LETTERS] + "…"


def ids_of(found: Mapping[int, Found], order: Sequence[int]) -> tuple[list[str], list[str]]:
    """Ids of the queries and of the items in some rows, each once."""
    rows = [row for number in order for row in found[number].rows]
    queries, items = (dict.fromkeys(str(row[name]) for row in rows) for name in ("query_id", "item_id"))
    return list(queries), list(items)


def sections_of(
    order: Mapping[str, Sequence[int]], found: Mapping[int, Found], make: RowMaker
) -> Iterator[tuple[str, list[Row]]]:
    """Name and rows of each section that has any."""
    for name, numbers in order.items():
        if numbers:
            yield name, [make.make(found[number]) for number in numbers]
