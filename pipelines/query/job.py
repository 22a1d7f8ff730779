"""The query job: opens the index that `CURRENT` names, and answers a file of queries with a table."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..index.opening import open_index
from ..index.post_processing import ServedIndex, search_in_steps, steps_of
from ..index.search import Matches, take_items
from ..runner.progress import Pace
from ..sources.types import arrow_type
from ..store import exclusions, generations
from ..store.generation import Generation
from ..store.notes import table_of
from .far_queries import FarQueries
from .inputs import Block, content_blocks, id_blocks, kind_of, unique
from .report import QuerySummary
from .tables import FORMATS, Format, open_table

logger = logging.getLogger(__name__)
FAILURES_SCHEMA = pa.schema([("query_id", pa.string()), ("stage", pa.string()), ("error", pa.string())])


@dataclass(frozen=True)
class QueryOptions:
    """How queries are answered.

    Attributes:
        k: matches a query, at least 1.
        table_format: of the two tables: parquet, csv or jsonl.
        exact: search by brute force.
        exclude_self: leave out the item whose id is the query's own.

    Raises:
        LookalikeError: for another k or format.
    """

    k: int
    table_format: Format = "parquet"
    exact: bool = False
    exclude_self: bool = False

    def __post_init__(self) -> None:
        if self.k < 1 or self.table_format not in FORMATS:
            raise LookalikeError(
                f"Expected k of 1 or more and a format of {FORMATS}. Received: {self.k}, {self.table_format}"
            )


@dataclass(frozen=True)
class _Served:
    """What answers: a generation, and its index."""

    generation: Generation
    index: ServedIndex

    @property
    def schema(self) -> pa.Schema:
        """Of the table of results."""
        made_by = {"lookalike.generation": self.generation.name, "lookalike.encoder": self.generation.encoder}
        return results_schema(self.generation.metadata).with_metadata(made_by)


@dataclass
class _Done:
    """What has been done so far: numbers of queries and matches, stage of failure -> queries, stage -> seconds."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

    def add(self, block: Block, matches: Matches | None) -> None:
        """Counts a block that was answered."""
        found = 0 if matches is None else len(matches.query)
        self.counts.update(answered=len(block.ids), failed=len(block.failures), matches=found)
        self.reasons.update(stage for _, stage, _ in block.failures)


def results_schema(metadata: Mapping[str, str]) -> pa.Schema:
    """The columns of the result table for the carried metadata, name -> type."""
    return pa.schema(
        [
            ("query_id", pa.string()),
            ("rank", pa.int32()),
            ("item_id", pa.string()),
            ("score", pa.float32()),
            *((name, arrow_type(kind)) for name, kind in metadata.items()),
        ]
    )


def query(config: Config, path: str, out: str, options: QueryOptions) -> QuerySummary:
    """Answers a file of queries.

    Args:
        config: the job; its store and encoder are used.
        path: image shards or a folder, a Parquet file of vectors, or a `.txt` file of item ids.
        out: folder for `results.FORMAT` and `failures.FORMAT`.
        options: how to answer.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if the tables cannot be written; then neither is there.
    """
    done = _Done()
    results, failures = (
        files.join(out, f"{name}.{options.table_format}") for name in ("results", "failures")
    )
    with _opened(config, path, out, done) as (served, blocks):
        blocks = _not_empty(_timed(unique(blocks), done), path)
        with _written(results, failures, served.schema, options.table_format, done) as tables:
            _answer(served, blocks, options, tables, done)
    return QuerySummary(
        generation=served.generation.name,
        steps=served.index.steps,
        answered=done.counts["answered"],
        failed=done.counts["failed"],
        reasons=dict(done.reasons),
        matches=done.counts["matches"],
        results=results,
        failures=failures,
        seconds=dict(done.seconds),
    )


@contextlib.contextmanager
def _attempt(out: str) -> Iterator[bool]:
    """Whether a process ended while it wrote to this folder, and so perhaps because of an image among its queries."""
    note = files.join(out, ".unfinished")
    suspect = files.exists(note)
    if suspect:
        logger.warning(
            "a query job that wrote to %s was ended: images are decoded in a process of their own", out
        )
    files.write_bytes(note, b"")
    try:
        yield suspect
    finally:
        with contextlib.suppress(OSError):
            files.delete([note])


@contextlib.contextmanager
def _opened(config: Config, path: str, out: str, done: _Done) -> Iterator[tuple[_Served, Iterator[Block]]]:
    """Opens what is served, and the queries of a path."""
    started = time.perf_counter()
    kind = kind_of(path)
    by_id = kind == "ids"
    excluded = exclusions.excluded_ids(config.store)
    with (
        generations.reading(config.store) as generation,
        _attempt(out) if kind == "images" else contextlib.nullcontext(False) as suspect,
        ThreadPoolExecutor(1) as background,
    ):
        steps = steps_of(config, generation)
        # The first queries are read, or the encoder opened, while the index is.
        coming: Iterator[Block] = (
            iter(()) if by_id else content_blocks(path, config, generation, suspect=suspect)
        )
        early = background.submit(next, coming, None)
        shards = [open_index(config.store, ref) for ref in generation.indexes]
        done.seconds["open"] = time.perf_counter() - started
        blocks = id_blocks(path, shards) if by_id else _resumed(early, coming)
        yield _Served(generation, ServedIndex(shards, steps, excluded)), blocks


def _resumed(first: Future[Block | None], rest: Iterator[Block]) -> Iterator[Block]:
    if (block := first.result()) is not None:
        yield block
    yield from rest


def _timed(blocks: Iterator[Block], done: _Done) -> Iterator[Block]:
    while True:
        with done.timed("encode"):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _not_empty(blocks: Iterator[Block], path: str) -> Iterator[Block]:
    """The same blocks, the first of them read. Raises LookalikeError if there is none."""
    first = next(blocks, None)
    if first is None:
        raise LookalikeError(f"Expected queries. Received: none in {path}")
    return itertools.chain([first], blocks)


@contextlib.contextmanager
def _written(
    results: str, failures: str, schema: pa.Schema, table_format: Format, done: _Done
) -> Iterator[tuple[Any, Any]]:
    """Opens the two tables for writing; they appear when the block ends well, and otherwise neither does."""
    for table in (results, failures):
        if files.is_folder(table):
            raise LookalikeError(f"Expected a place for a table. Received: the folder {table}")
    # Results come last: where they are, the failures beside them belong to them.
    files.delete([results, failures])
    with contextlib.ExitStack() as tables:
        tables.enter_context(_neither_alone(failures))
        found = tables.enter_context(open_table(results, schema, table_format))
        failed = tables.enter_context(open_table(failures, FAILURES_SCHEMA, table_format))
        yield found, failed
        with done.timed("write"):
            tables.close()


@contextlib.contextmanager
def _neither_alone(failures: str) -> Iterator[None]:
    """Deletes the table of failures if that of the results, written after it, cannot be."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            files.delete([failures])
        raise


def _answer(
    served: _Served, blocks: Iterator[Block], options: QueryOptions, tables: tuple[Any, Any], done: _Done
) -> None:
    found, failed = tables
    pace = Pace()
    far = None if options.exact else FarQueries(served.index.shards)
    for block in blocks:
        matches = _searched(served, block, options, done)
        if far and matches is not None:
            far.look_at(matches)
        with done.timed("write"):
            if matches is not None:
                found.write_table(_results(served, block, matches))
            if block.failures:
                failed.write_table(table_of(block.failures, FAILURES_SCHEMA))
        done.add(block, matches)
        if pace.due():
            counts = done.counts
            logger.info("%s queries answered, %s failed", f"{counts['answered']:,}", counts["failed"])
    if far:
        far.tell()


def _searched(served: _Served, block: Block, options: QueryOptions, done: _Done) -> Matches | None:
    """The matches of a block; None where all of its queries failed."""
    if not block.ids:
        return None
    with done.timed("search"):
        return search_in_steps(
            served.index,
            block.vectors,
            block.ids,
            options.k,
            exact=options.exact,
            exclude_self=options.exclude_self,
        )


def _results(served: _Served, block: Block, matches: Matches) -> pa.Table:
    items = take_items(served.index.shards, matches)
    query_ids = pa.array(block.ids, pa.string()).take(pa.array(matches.query))
    columns = [query_ids, pa.array(matches.rank), items["item_id"], pa.array(matches.score)]
    columns += [items[name] for name in items.column_names[1:]]
    return pa.Table.from_arrays(
        [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns], schema=served.schema
    )
