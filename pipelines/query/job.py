"""The query job: opens the index that `CURRENT` names, and answers a file of queries with a table.

Where the whole index fits into memory, it is opened once, and queries pass by it block by block: while one is searched
for, the next is read and the last one written. Where it does not, where there are very many queries, or where workers
do it, the same is done in stages (see `stages`).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.waiting import waiting

from ..config.job import Config
from ..filesystem import files
from ..index.answers import Answers
from ..index.conditions import Conditions
from ..index.opening import open_index
from ..index.pieces import fitting
from ..index.post_processing import Asked, search_in_steps, steps_of
from ..index.query_blocks import QueryBlock
from ..index.shard import IndexShard
from ..runner.progress import Pace
from ..store import exclusions, generations
from ..store.generation import Generation
from .answering import Done, Served, failures_of, results_of, written
from .blocks import Block, Failure, unique
from .far_queries import FarQueries
from .inputs import Kind, content_blocks, id_blocks, item_blocks, kind_of, table_blocks
from .matching import CheckFilters, is_filtered, without_matches
from .note import note_path, write_note
from .probability import probability_of
from .query_files import query_table, refuse_own_output
from .query_table import QueryTable
from .report import QuerySummary
from .several_pictures import one_answer_each
from .stages import answer_in_stages, is_long
from .table_blocks import Combine
from .tables import FORMATS, Format, table_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueryOptions:
    """How queries are answered.

    Attributes:
        k: matches a query, at least 1.
        table_format: of the two tables: parquet, csv, jsonl or excel.
        exact: search by brute force.
        exclude_self: leave out the item whose id is the query's own.
        conditions: that matches meet; None for those of the job.
        combine: how neighbouring rows of one id in a query table are one query; None for the job's `query.combine`.
        min_probability: leave out matches of a lower one; None for the job's `query.min_probability`.

    Raises:
        LookalikeError: for another k or format.
    """

    k: int
    table_format: Format = "parquet"
    exact: bool = False
    exclude_self: bool = False
    conditions: Conditions | None = None
    combine: Combine | None = None
    min_probability: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or self.k < 1:
            raise LookalikeError(f"Expected k, a whole number of 1 or more. Received: {self.k!r}")
        if self.table_format not in FORMATS:
            raise LookalikeError(
                f"Expected a format of {', '.join(FORMATS)}. Received: {self.table_format!r}"
            )


def query(
    config: Config, path: str, out: str, options: QueryOptions, flags: Sequence[str] = ()
) -> QuerySummary:
    """Answers a file of queries. The tables are the same, to the byte, however it is done.

    Args:
        config: the job; its store and encoder are used.
        path: image shards, a folder or a photograph, a query table, files of vectors, or a `.txt` file of item ids.
        out: folder for the tables `results` and `failures`, and the note of how they were made (see `note`).
        options: how to answer.
        flags: Beam's flags; with any, workers do it, which must see the queries, the store and `out`.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if the tables cannot be written; then neither is there.
    """
    done = Done()
    results = files.join(out, table_name("results", options.table_format))
    failures = files.join(out, table_name("failures", options.table_format))
    started = time.perf_counter()
    refuse_own_output(path, results, failures, note_path(out))
    kind = kind_of(path)
    table = query_table(path) if kind == "table" else None
    has_pictures = table.has_pictures if table else kind == "images"
    with (
        generations.reading(config.store) as generation,
        _attempt(out) if has_pictures else contextlib.nullcontext(False) as suspect,
    ):
        served = serving(config, generation, options, table)
        if flags or is_large(served) or is_long(path, kind):
            answer_in_stages(
                served, path, kind, out, (results, failures), options.table_format, done, flags, suspect
            )
        else:
            with _opened(served, path, kind, suspect, started, done) as (shards, blocks):
                checked = map(CheckFilters.of(served), blocks)
                blocks = _not_empty(_timed(unique(checked), done), path)
                far = (
                    None
                    if options.exact or served.in_words
                    else FarQueries([shard.manifest for shard in shards])
                )
                with written(results, failures, served.schema, options.table_format, done) as opened:
                    answer(served, shards, blocks, opened, done, far)
                if far:
                    far.tell()
    summary = QuerySummary(
        generation=generation.name,
        steps=served.asked.steps,
        answered=done.counts["answered"],
        failed=done.counts["failed"],
        reasons=dict(done.reasons),
        why=done.kinds.line(),
        matches=done.counts["matches"],
        results=results,
        failures=failures,
        seconds=dict(done.seconds),
    )
    write_note(out, config, path, summary)
    return summary


def serving(
    config: Config, generation: Generation, options: QueryOptions, table: QueryTable | None = None
) -> Served:
    """What answers queries so.

    Args:
        config: the job; what `options` leaves open is as it says.
        generation: what is served.
        options: how to answer.
        table: the query table that is answered, if it is one.

    Raises:
        LookalikeError: for conditions that what is served does not allow.
        OSError: if the store cannot be read.
    """
    in_words = table is not None and table.has_text
    steps = steps_of(config, generation, in_words)
    conditions = options.conditions or Conditions.of(config.query)
    conditions.check(generation.metadata, generation.metric)
    least = config.query.min_probability if options.min_probability is None else options.min_probability
    items = max(1, generation.counts["items"])
    k = min(options.k, items)
    conditions = replace(conditions, per_group=min(conditions.per_group, items))
    if in_words and least is not None:
        raise LookalikeError(
            "Expected queries that are pictures for --min-probability, which scores of words have not. "
            "Received: a table with a column text"
        )
    return Served(
        config,
        generation,
        Asked(k, steps, options.exclude_self, options.exact, conditions, config.corpus.group),
        exclusions.excluded_ids(config.store),
        table,
        options.combine or config.query.combine,
        None if in_words else probability_of(config, generation, steps, least, options.k),
    )


def is_large(served: Served) -> bool:
    """Whether the index shards do not fit into memory together."""
    refs, limit = served.generation.indexes, served.config.query.memory
    return len(refs) > 1 and len(fitting(served.config.store, refs, limit, exact=served.asked.exact)) > 1


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
def _opened(
    served: Served, path: str, kind: Kind, suspect: bool, started: float, done: Done
) -> Iterator[tuple[list[IndexShard], Iterator[Block]]]:
    """Opens what is served, and the queries of a path."""
    config, generation, table = served.config, served.generation, served.table
    by_id = kind == "ids" or (table is not None and table.content == "item_id")
    with ThreadPoolExecutor(1) as background:
        coming: Iterator[Block] = iter(())
        if not by_id:
            if table:
                blocks = table_blocks(
                    table, config, generation, served.combine, suspect=suspect, size=served.block
                )
            else:
                blocks = content_blocks(path, config, generation, suspect=suspect, size=served.block)
            # The first queries are read, or the encoder opened, while the index is.
            coming = _ahead(background, blocks)
        with waiting("opening the index"):
            shards = [open_index(config.store, ref) for ref in served.generation.indexes]
        if by_id:
            how = served.look_up_ids
            found = item_blocks(table, shards, generation, how) if table else id_blocks(path, shards, how)
            coming = _ahead(background, found)
        done.seconds["open"] = time.perf_counter() - started
        yield shards, coming


def _ahead(background: ThreadPoolExecutor, blocks: Iterator[Block]) -> Iterator[Block]:
    """The same blocks; one more than was asked for is being read in the background, from now on."""
    first: Future[Block | None] = background.submit(next, blocks, None)

    def read() -> Iterator[Block]:
        coming = first
        while (block := coming.result()) is not None:
            coming = background.submit(next, blocks, None)
            yield block

    return read()


def _timed(blocks: Iterator[Block], done: Done) -> Iterator[Block]:
    while True:
        with done.timed("encode"):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _not_empty(blocks: Iterator[Block], path: str) -> Iterator[Block]:
    """The same blocks, the first of them read. Raises LookalikeError if there is none."""
    with waiting("reading the first queries"):
        first = next(blocks, None)
    if first is None:
        raise LookalikeError(f"Expected queries. Received: none in {path}")
    return itertools.chain([first], blocks)


def answer(
    served: Served,
    shards: Sequence[IndexShard],
    blocks: Iterable[Block],
    tables: tuple[Any, Any],
    done: Done,
    far: FarQueries | None = None,
) -> None:
    """Answers queries block by block.

    Args:
        served: what answers.
        shards: all that is served, open.
        blocks: the queries, each id once.
        tables: of results and of failures, each with a method `write_table`.
        done: counts what is done.
        far: looks at what was found, unless all is searched exactly.

    Raises:
        LookalikeError: as the search does.
    """
    found, failed = tables
    asked, generation = served.asked, served.generation
    conditions = asked.conditions
    pace = Pace()
    schema, probability = served.schema, served.probability

    def write(block: QueryBlock, answers: Answers) -> None:
        found.write_table(
            results_of(block.ids, answers, generation.metric, schema, block.columns, probability)
        )

    with ThreadPoolExecutor(1) as background:
        written: Future[None] | None = None
        for block in blocks:
            matches, bare = 0, list[Failure]()
            asked_once: QueryBlock = block
            if block.ids:
                with done.timed("search"):
                    answers = search_in_steps(
                        shards, block.vectors, block.ids, asked, served.excluded, block.columns
                    )
                    asked_once, answers = one_answer_each(block, answers, asked.pool, conditions.grouping)
                if far and not is_filtered(asked, block.columns):
                    far.look_at(answers)
                if probability:
                    answers = probability.only_probable(answers)
                answers = asked.chosen(answers, generation.metric)
                with done.timed("write"):
                    if written:
                        written.result()
                written = background.submit(write, asked_once, answers)
                matches, bare = len(answers.items), without_matches(asked_once, answers)
            if failures := sorted([*block.failures, *bare]):
                failed.write_table(failures_of(failures))
            reasons = Counter(failure.stage for failure in failures)
            done.add(answered=len(asked_once.ids) - len(bare), matches=matches, reasons=reasons)
            if pace.due():
                counts = done.counts
                logger.info("%s queries answered, %s failed", f"{counts['answered']:,}", counts["failed"])
        with done.timed("write"):
            if written:
                written.result()
