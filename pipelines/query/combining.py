"""The third stage of a query job: what all index shards answered to some parts becomes rows of the table.

FOLDER/rows/GROUP           rows of the result table, in input order
FOLDER/counts/SEARCH-GROUP  what a group came to in a search, as JSON; written last
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..index.pieces import read_merged
from ..index.post_processing import Asked
from ..index.query_blocks import read_queries, write_queries
from ..store.index_manifest import Metric
from .answering import results_of
from .blocks import Failure
from .far_queries import far_of
from .matching import is_filtered, without_matches
from .parts import queries_of, read_failures, write_failures
from .several_pictures import one_answer_each


@dataclass(frozen=True)
class Group:
    """Some parts of the input, and the files of answers to them."""

    number: int
    parts: tuple[str, ...]
    answers: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Group:
        """The group that `to_json` was asked of."""
        return cls(data["number"], tuple(data["parts"]), tuple(data["answers"]))


@dataclass(frozen=True)
class Combine:
    """Combines what all index shards answered; it travels to workers.

    Attributes:
        folder: of the run.
        asked: what is wanted.
        number: of the search.
        metric: of the index.
        schema: of the table of results.
        limit: see `FarQueries.limit`.
    """

    folder: str
    asked: Asked
    number: int
    metric: Metric
    schema: pa.Schema
    limit: float

    def __call__(self, groups: Iterable[Group]) -> None:
        """Raises OSError."""
        for group in groups:
            mark = counts_of(self.folder, self.number, group.number)
            if not files.exists(mark):  # a runner may hand out work again
                one = self.asked.passes[self.number]
                answers = read_merged(group.answers, one.k, one.conditions.grouping)
                is_last = self.number == len(self.asked.passes) - 1
                counts = (self._finish if is_last else self._go_on)(group, answers)
                files.write_bytes(mark, json.dumps(counts).encode())

    def _go_on(self, group: Group, answers: Iterator[Any]) -> dict[str, int]:
        """Writes the queries of the next search."""
        for name in group.parts:
            coming = read_queries([queries_of(self.folder, self.number, name)])
            first = next(coming, None)
            path = queries_of(self.folder, self.number + 1, name)
            with write_queries(path, first.vectors.shape[1] if first else 1) as add:
                for block in () if first is None else (first, *coming):
                    drawn = self.asked.next_queries(block.vectors, next(answers))
                    add(replace(block, vectors=drawn))
        return {}

    def _finish(self, group: Group, answers: Iterator[Any]) -> dict[str, int]:
        """Writes the rows of the table."""
        answered = matches = asked = far = unmatched = 0
        path = rows_of(self.folder, group.number)
        with files.write_atomic(path) as file, pa.ipc.new_stream(file, self.schema) as writer:
            for name in group.parts:
                repeated = np.array(
                    [f.number for f in read_failures(self.folder, "repeated", name)], np.int64
                )
                bare: list[Failure] = []
                for block in read_queries([queries_of(self.folder, self.number, name)]):
                    found = self.asked.finished(block.vectors, block.ids, next(answers))
                    block, found = one_answer_each(
                        block, found, self.asked.pool, self.asked.conditions.grouping
                    )
                    found = self.asked.chosen(found, self.metric)
                    kept = ~np.isin(block.numbers, repeated)
                    rows = results_of(block.ids, found, self.metric, self.schema, block.columns)
                    if not kept.all():
                        rows = rows.filter(pa.array(kept[found.query]))
                    writer.write_table(rows)
                    bare += (one for one in without_matches(block, found) if one.number not in repeated)
                    limit = -np.inf if is_filtered(self.asked, block.columns) else self.limit
                    of_block, far_ones = far_of(found.near[kept], limit)
                    answered, matches = answered + int(kept.sum()), matches + len(rows)
                    asked, far = asked + of_block, far + far_ones
                with write_failures(files.join(self.folder, "unmatched", name)) as add:
                    add(bare)
                unmatched += len(bare)
        counts = {"answered": answered - unmatched, "unmatched": unmatched, "matches": matches}
        return counts | {"asked": asked, "far": far}


def counts_of(folder: str, number: int, group: int) -> str:
    """The file of what a group came to in the search of this number, from 0; written last."""
    return files.join(folder, "counts", f"{number}-{group:05}.json")


def rows_of(folder: str, group: int) -> str:
    """The file of a group's rows of the table."""
    return files.join(folder, "rows", f"{group:05}")
