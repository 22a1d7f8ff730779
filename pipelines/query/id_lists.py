"""Ids of indexed items that workers look up, in pieces: lines of a text file, or rows of a query table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..index.members import LookedUp
from ..runner.work_list import WorkList
from .blocks import Block, Failure
from .look_up import looked_up, looked_up_items
from .row_files import read_rows
from .table_blocks import Combine

Line = tuple[int, str, bool]
"""A line of a file of ids: its number, its text, and whether it is an id."""


class IdBlock(NamedTuple):
    """Some ids that are looked up together.

    Attributes:
        names: the ids.
        numbers: int64 (ids,), ascending, each once in the block.
        asked: what they stand for -> the queries.
    """

    names: list[str]
    numbers: np.ndarray
    asked: Callable[[LookedUp], Block]


@dataclass(frozen=True)
class ListedIds:
    """The lines of a text file.

    Attributes:
        lines: of it.
        combine: how the pictures of a group are one query.
        metric: of the index.
    """

    lines: WorkList[Line]
    combine: Combine
    metric: str

    def blocks(self, piece: int, size: int) -> Iterator[IdBlock]:
        """The ids of a piece, at most so many at once. Raises OSError."""
        coming = self.lines.read(piece)
        while block := list(islice(coming, size)):
            good = [(number, text) for number, text, is_id in block if is_id]
            failures = [
                Failure(number, text, "id", "the id is not UTF-8")
                for number, text, is_id in block
                if not is_id
            ]
            names, numbers = [text for _, text in good], np.array([number for number, _ in good], np.int64)
            asked = functools.partial(
                looked_up, names, numbers, failures, combine=self.combine, metric=self.metric
            )
            yield IdBlock(names, numbers, asked)


@dataclass(frozen=True)
class ListedRows:
    """Rows of a query table.

    Attributes:
        files: paths of the pieces; see `row_files`.
        combine: how several rows are one query.
        metric: of the index.
    """

    files: tuple[str, ...]
    combine: Combine
    metric: str

    def blocks(self, piece: int, size: int) -> Iterator[IdBlock]:
        """The ids of a piece, as the blocks of its file are. Raises OSError."""
        for rows in read_rows(self.files[piece]):
            names = [name or "" for name in rows.column(2).to_pylist()]  # no item has an empty id
            asked = functools.partial(looked_up_items, rows, combine=self.combine, metric=self.metric)
            yield IdBlock(names, np.arange(len(names)), asked)
