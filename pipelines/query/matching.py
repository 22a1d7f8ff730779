"""Conditions on the matches of a query job: checked before anything is searched, and the queries that nothing meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..index.answers import Answers
from ..index.conditions import WHERE, schema_of
from ..index.filters import read_filter
from ..index.post_processing import Asked
from ..index.query_blocks import QueryBlock
from .answering import Served
from .blocks import Block, Failure, with_failures


@dataclass(frozen=True)
class CheckFilters:
    """Reads the filters of blocks of queries; it travels to workers.

    Attributes:
        metadata: fields of the items, name -> type.
        where: the filter of all queries; None for none.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    where: str | None = None

    @classmethod
    def of(cls, served: Served) -> CheckFilters:
        """For the queries of a job."""
        return cls(served.generation.metadata, served.asked.conditions.where)

    def __call__(self, block: Block) -> Block:
        """The same block; a query whose own filter is none has become a failure.

        Raises:
            LookalikeError: if the filter of all queries is none over their columns.
        """
        own = [] if block.columns is None else block.columns.column_names
        if self.where is None and WHERE not in own:
            return block
        columns = None if block.columns is None else block.columns.select([n for n in own if n != WHERE])
        items, schema = schema_of(self.metadata), None if columns is None else columns.schema
        if self.where is not None:
            read_filter(self.where, items, schema)
        if WHERE not in own:
            return block
        assert block.columns is not None
        if (kind := block.columns[WHERE].type) not in (pa.string(), pa.large_string(), pa.null()):
            raise LookalikeError(f"Expected filters, which are text, in the column {WHERE}. Received: {kind}")
        texts = block.columns[WHERE].to_pylist()
        errors = {text: _error(text, items, schema) for text in set(texts)}
        wrong = np.array([errors[text] is not None for text in texts], bool)
        if not wrong.any():
            return block
        # Rows of one number are one query, with the filter of its first row.
        refused = {int(block.numbers[i]): i for i in reversed(np.flatnonzero(wrong).tolist())}
        failures = [
            Failure(number, block.ids[i], "filter", str(errors[texts[i]])) for number, i in refused.items()
        ]
        return with_failures(block.only(~wrong), sorted([*block.failures, *failures]))


def _error(text: str | None, items: pa.Schema, query: pa.Schema | None) -> str | None:
    try:
        if text is not None:
            read_filter(text, items, query)
    except LookalikeError as error:
        return str(error)
    return None


def is_filtered(asked: Asked, columns: pa.Table | None) -> bool:
    """Whether only some items may be matches of some of the queries, of which these are the columns."""
    return asked.conditions.where is not None or (columns is not None and WHERE in columns.column_names)


def without_matches(block: QueryBlock, answers: Answers) -> list[Failure]:
    """The queries of a block for which there is no match, in input order: each is in one of the two tables."""
    bare = np.flatnonzero(~answers.held.any(axis=1))
    numbers = block.numbers.tolist()
    return [Failure(numbers[i], block.ids[i], "match", "no item meets the conditions") for i in bare]
