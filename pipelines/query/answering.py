"""What answers a file of queries, and the rows of its two tables."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import masked

from ..config.job import Config
from ..filesystem import files
from ..index.answers import Answers
from ..index.post_processing import Asked
from ..sources.types import arrow_type
from ..store.generation import Generation
from ..store.notes import table_of
from .blocks import Failure
from .carried import carried_columns, carried_fields
from .failure_kinds import Counted, FailureKinds
from .look_up import LookUpIds
from .note import note_path
from .probability import COLUMN, Probability
from .query_table import QueryTable
from .table_blocks import Combine
from .tables import Format, open_table

FAILURES_SCHEMA = pa.schema([("query_id", pa.string()), ("stage", pa.string()), ("error", pa.string())])


@dataclass(frozen=True)
class Served:
    """What answers.

    Attributes:
        config: the job.
        generation: what is served.
        asked: of its index.
        excluded: ids of items that never appear.
        table: the query table that is answered; None for queries of another kind.
        combine: how several rows of it are one query.
        probability: tells that of matches; None where nothing does.
    """

    config: Config
    generation: Generation
    asked: Asked
    excluded: pa.Array
    table: QueryTable | None = None
    combine: Combine = "best"
    probability: Probability | None = None

    @property
    def schema(self) -> pa.Schema:
        """Of the table of results."""
        made_by = {"lookalike.generation": self.generation.name, "lookalike.encoder": self.generation.encoder}
        columns = self.table.columns if self.table else None
        schema = results_schema(self.generation.metadata, columns, self.probability is not None)
        return schema.with_metadata(made_by)

    @property
    def look_up_ids(self) -> LookUpIds:
        """How ids of items are looked up."""
        group = self.config.corpus.group
        known = group if group in self.generation.metadata else None
        return LookUpIds(known, self.excluded, self.combine, self.generation.metric, self.block)

    @property
    def in_words(self) -> bool:
        """Whether queries ask in words, which are far from all pictures, and whose scores are their own."""
        return self.table is not None and self.table.has_text

    @property
    def block(self) -> int:
        """How many queries are asked at once at most."""
        return self.asked.block(self.generation.dim)


@dataclass
class Done:
    """What has been done so far: numbers of queries and matches, stage of failure -> queries, kinds of their errors,
    stage -> seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: FailureKinds = field(default_factory=FailureKinds)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

    def add(self, *, answered: int = 0, matches: int = 0, reasons: Mapping[str, int] | None = None) -> None:
        """Counts queries that were answered, their matches, and failures by their stage."""
        reasons = Counter(reasons or {})
        self.counts.update(answered=answered, failed=reasons.total(), matches=matches)
        self.reasons.update(reasons)


def results_schema(
    metadata: Mapping[str, str], columns: pa.Schema | None = None, probability: bool = False
) -> pa.Schema:
    """The columns of the result table for the carried metadata, name -> type, and those of a query table behind them.

    Args:
        metadata: of the items.
        columns: of the query table.
        probability: whether that of a match is told.

    Raises:
        LookalikeError: if the names of two columns would be the same.
    """
    ours = [
        pa.field("query_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float32()),
        *([COLUMN] if probability else []),
        *(pa.field(name, arrow_type(kind)) for name, kind in metadata.items()),
    ]
    carried = carried_fields(columns or pa.schema([]), [field.name for field in ours])
    return pa.schema([*ours, *carried])


def results_of(
    ids: Sequence[str],
    answers: Answers,
    metric: str,
    schema: pa.Schema,
    columns: pa.Table | None = None,
    probability: Probability | None = None,
) -> pa.Table:
    """The rows of the result table for the queries with these ids, and the columns of their table."""
    near = answers.near[answers.held]
    items = answers.items.combine_chunks()
    query = pa.array(answers.query)
    found = [
        pa.array(ids, pa.string()).take(query),
        pa.array(answers.rank),
        items["item_id"],
        pa.array(near if metric == "cosine" else -near),
        *([probability.column(near)] if probability else []),
        *(items[name] for name in items.column_names[1:]),
    ]
    if columns is not None:
        found += (column.combine_chunks().take(query) for column in carried_columns(columns))
    return pa.Table.from_arrays(found, schema=schema)


def failures_of(failures: Sequence[Failure]) -> pa.Table:
    """The rows of the table of failures; what a message repeats of passwords and keys is not in them."""
    return table_of([(one.query_id, one.stage, masked(one.error)) for one in failures], FAILURES_SCHEMA)


@contextlib.contextmanager
def written(
    results: str, failures: str, schema: pa.Schema, table_format: Format, done: Done
) -> Iterator[tuple[Any, Any]]:
    """Opens the two tables for writing; they appear when the block ends well, and otherwise neither does."""
    discard(results, failures)
    # Results come last: where they are, the failures beside them belong to them.
    with contextlib.ExitStack() as tables:
        tables.enter_context(_neither_alone(failures))
        found = tables.enter_context(open_table(results, schema, table_format))
        failed = tables.enter_context(open_table(failures, FAILURES_SCHEMA, table_format))
        yield found, Counted(failed, done.kinds)
        with done.timed("write"):
            tables.close()


def discard(results: str, failures: str) -> None:
    """Deletes the tables of before and their note. Raises as `refuse_folders`."""
    refuse_folders(results, failures)
    files.delete([results, failures, note_path(results.rpartition("/")[0])])


def refuse_folders(*tables: str) -> None:
    """Raises LookalikeError where a folder has the place of a table."""
    for table in tables:
        if files.is_folder(table):
            raise LookalikeError(f"Expected a place for a table. Received: the folder {table}")


@contextlib.contextmanager
def _neither_alone(failures: str) -> Iterator[None]:
    """Deletes the table of failures if that of the results, written after it, cannot be."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            files.delete([failures])
        raise
