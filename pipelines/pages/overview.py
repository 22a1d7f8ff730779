"""What all answers of a folder are like: how near the best matches are, which items are found by many, what failed.

Tables are streamed; what is held are a few numbers a query, 10 bytes, and DuckDB's count of items, which spills.
"""

from __future__ import annotations

import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ..store.database import database, take_rows
from .relevance import Relevance
from .result_tables import OURS, PROBABILITY, AnswerTables, answer_blocks, read_blocks

HUBS = 12
EXAMPLES = 3
_MOST_REASONS = 1000
_ITEMS = pa.schema([("item_id", pa.string())])


@dataclass(frozen=True)
class Reason:
    """Why queries failed: the stage, the sentence, how many queries, and the ids of the first few."""

    stage: str
    error: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """All answers of a folder in numbers.

    Attributes:
        best: float32 (queries,), score of the best match of each query that was answered, in the order of the table.
        second: float32 (queries,), of the second; NaN where there is none.
        probability: float32 (queries,), of the best match; empty where results tell none.
        right: int8 (queries,), whether the best match is relevant: 1, 0, or -1 where that is not known.
        matches: rows of the results.
        items: different items among them.
        hubs: items that are in the answers to most queries, and how many these are, the most frequent first.
        failed: queries that were not answered.
        reasons: why, the most frequent first.
    """

    best: np.ndarray
    second: np.ndarray
    probability: np.ndarray
    right: np.ndarray
    matches: int
    items: int
    hubs: tuple[tuple[str, int], ...]
    failed: int
    reasons: tuple[Reason, ...]

    @property
    def answered(self) -> int:
        """Queries that were answered."""
        return len(self.best)


@dataclass
class _Best:
    """The numbers of each query, as rows come."""

    best: array.array[float] = field(default_factory=lambda: array.array("f"))
    second: array.array[float] = field(default_factory=lambda: array.array("f"))
    probability: array.array[float] = field(default_factory=lambda: array.array("f"))
    right: array.array[int] = field(default_factory=lambda: array.array("b"))
    matches: int = 0

    def add(self, block: pa.Table, has_probability: bool, relevance: Relevance | None) -> None:
        rank, score = (block[column].to_numpy() for column in ("rank", "score"))
        first = np.flatnonzero(rank == 1)
        start, self.matches = len(self.best), self.matches + len(block)
        self.best.frombytes(score[first].astype(np.float32).tobytes())
        self.second.frombytes(np.full(len(first), np.nan, np.float32).tobytes())
        # The second match of the last query of the block before may be the first row of this one.
        for row in np.flatnonzero(rank == 2).tolist():
            self.second[start + int(np.searchsorted(first, row)) - 1] = score[row]
        if has_probability:
            self.probability.frombytes(block[PROBABILITY].to_numpy()[first].astype(np.float32).tobytes())
        if relevance:
            rows = block.take(pa.array(first)).select([*OURS, *relevance.columns]).to_pylist()
            found = map(relevance.of_row, rows)
            self.right.extend(-1 if one is None else int(one) for one in found)


def look_over(tables: AnswerTables, relevance: Relevance | None = None) -> Overview:
    """Reads both tables once.

    Args:
        tables: of the answers.
        relevance: tells what is relevant; None where nothing does.

    Raises:
        LookalikeError: if a table is damaged, or there is no space for what does not fit into memory.
        OSError: if one cannot be read.
    """
    probability = (PROBABILITY,) if tables.has_probability else ()
    columns = (*OURS, *probability, *(relevance.columns if relevance else ()))
    found = _Best()

    def items() -> Iterator[pa.RecordBatch]:
        for block in answer_blocks(tables, columns):
            found.add(block, tables.has_probability, relevance)
            yield from block.select(["item_id"]).cast(_ITEMS).combine_chunks().to_batches()

    with database(None) as connection:
        statement = "create table found as select item_id, count(*) as answers from batches group by item_id"
        take_rows(connection, statement, _ITEMS, items())
        (different,) = connection.execute("select count(*) from found").fetchone() or (0,)
        hubs = connection.execute(
            f"select item_id, answers from found order by answers desc, item_id limit {HUBS}"
        ).fetchall()
    failed, reasons = _reasons(tables)
    return Overview(
        best=np.array(found.best, np.float32),
        second=np.array(found.second, np.float32),
        probability=np.array(found.probability, np.float32),
        right=np.array(found.right, np.int8),
        matches=found.matches,
        items=int(different),
        hubs=tuple((str(item), int(answers)) for item, answers in hubs),
        failed=failed,
        reasons=reasons,
    )


def _reasons(tables: AnswerTables) -> tuple[int, tuple[Reason, ...]]:
    """How many queries failed, and why; what has a reason of its own beyond some is counted by its stage."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[str]] = {}
    for block in read_blocks(tables.failures, tables.format):
        for row in block.select(["query_id", "stage", "error"]).to_pylist():
            reason = (str(row["stage"]), str(row["error"]))
            if reason not in counts and len(counts) >= _MOST_REASONS:
                reason = (reason[0], "other reasons")
            counts[reason] += 1
            kept = examples.setdefault(reason, [])
            if len(kept) < EXAMPLES:
                kept.append(str(row["query_id"]))
    order = sorted(counts, key=lambda reason: (-counts[reason], reason))
    reasons = tuple(Reason(*reason, counts[reason], tuple(examples[reason])) for reason in order)
    return counts.total(), reasons
