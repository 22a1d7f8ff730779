"""The query job: opens the index that `CURRENT` names, and answers a file of queries with a table."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from lookalike.model.encoder.search_steps import Retrieval
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..index.opening import open_index
from ..index.search import Matches, take_items
from ..index.shard import IndexShard
from ..index.steps import search_in_steps, steps_of
from ..store import exclusions, generations
from ..store.generation import Generation
from ..store.notes import ARROW_TYPES
from . import inputs as queries
from .inputs import Block, _matching_encoder
from .report import QuerySummary
from .tables import FORMATS, Format, open_table

logger = logging.getLogger(__name__)
FAILURES_SCHEMA = pa.schema([("query_id", pa.string()), ("stage", pa.string()), ("error", pa.string())])
LOG_SECONDS = 5.0


def results_schema(metadata: dict[str, str] | None = None) -> pa.Schema:
    """The columns of the result table for the carried metadata, name -> type."""
    return pa.schema(
        [
            ("query_id", pa.string()),
            ("rank", pa.int32()),
            ("item_id", pa.string()),
            ("score", pa.float32()),
            *((name, ARROW_TYPES[kind]) for name, kind in (metadata or {}).items()),
        ]
    )


def query(
    config: Config,
    path: str,
    out: str,
    *,
    k: int | None = None,
    form: Format = "parquet",
    exact: bool = False,
    exclude_self: bool = False,
) -> QuerySummary:
    """Answers a file of queries.

    Args:
        config: the job; its store and encoder are used.
        path: image shards or a folder, a Parquet file of vectors, or a `.txt` file of item ids.
        out: folder for `results.FORMAT` and `failures.FORMAT`.
        k: matches a query; None takes `query.k`.
        form: parquet, csv or jsonl.
        exact: search by brute force.
        exclude_self: leave out the item whose id is the query's own.

    Raises:
        LookalikeError: for what the user can mend.
        OSError: if the tables cannot be written; then neither is there.
    """
    k = config.query.k if k is None else k
    if k < 1 or form not in FORMATS:
        raise LookalikeError(f"Expected k of 1 or more and a format of {FORMATS}. Received: {k}, {form}")
    started = time.perf_counter()
    kind = queries.kind_of(path)
    excluded = exclusions.excluded_ids(config.store)
    with generations.reading(config.store) as generation, ThreadPoolExecutor(1) as background:
        steps = steps_of(config, generation)
        # The first queries are read, or the encoder opened, while the index is.
        coming: Iterator[Block] = iter(())
        if kind == "images":
            coming = queries.image_blocks(
                path, config.corpus, generation.metric, lambda: _matching_encoder(config, generation)
            )
        elif kind == "vectors":
            coming = queries.vector_blocks(path, generation.dim, generation.metric, generation.encoder)
        early = background.submit(next, coming, None)
        shards = [open_index(config.store, ref) for ref in generation.indexes]
        opened = time.perf_counter() - started
        blocks = queries.id_blocks(path, shards) if kind == "ids" else _resumed(early, coming)
        return _answer(
            generation, steps, shards, blocks, path, out, k, form, exact, exclude_self, excluded, opened
        )


def _resumed(first: Future[Block | None], rest: Iterator[Block]) -> Iterator[Block]:
    if (block := first.result()) is not None:
        yield block
    yield from rest


def _answer(
    generation: Generation,
    steps: Retrieval,
    shards: Sequence[IndexShard],
    blocks: Iterator[Block],
    path: str,
    out: str,
    k: int,
    form: Format,
    exact: bool,
    exclude_self: bool,
    excluded: pa.Array,
    opened: float,
) -> QuerySummary:
    results, failures = (files.join(out, f"{name}.{form}") for name in ("results", "failures"))
    schema = results_schema(dict(generation.metadata)).with_metadata(
        {"lookalike.generation": generation.name, "lookalike.encoder": generation.encoder}
    )
    seconds: defaultdict[str, float] = defaultdict(float, open=opened)
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    answered = _timed(queries.unique(blocks), seconds)
    first = next(answered, None)
    if first is None:
        raise LookalikeError(f"Expected queries. Received: none in {path}")
    for table in (results, failures):
        if files.is_folder(table):
            raise LookalikeError(f"Expected a place for a table. Received: the folder {table}")
    # Results come last: where they are, the failures beside them belong to them.
    files.delete([results, failures])
    with (
        _neither_alone(failures),
        open_table(results, schema, form) as found,
        open_table(failures, FAILURES_SCHEMA, form) as failed,
    ):
        noted = time.monotonic()
        for block in itertools.chain([first], answered):
            matches = _searched(shards, block, k, steps, exact, exclude_self, excluded, seconds)
            write_started = time.perf_counter()
            if matches is not None:
                found.write_table(_table(shards, block, matches, schema))
                counts["matches"] += len(matches.query)
            if block.failures:
                columns = list(zip(*block.failures, strict=True))
                failed.write_table(pa.table(columns, schema=FAILURES_SCHEMA))
            seconds["write"] += time.perf_counter() - write_started
            counts.update(answered=len(block.ids), failed=len(block.failures))
            reasons.update(stage for _, stage, _ in block.failures)
            if time.monotonic() - noted > LOG_SECONDS:
                noted = time.monotonic()
                logger.info("%s queries answered, %s failed", f"{counts['answered']:,}", counts["failed"])
        closing = time.perf_counter()
    seconds["write"] += time.perf_counter() - closing
    return QuerySummary(
        generation=generation.name,
        steps=steps,
        answered=counts["answered"],
        failed=counts["failed"],
        reasons=dict(reasons),
        matches=counts["matches"],
        results=results,
        failures=failures,
        seconds=dict(seconds),
    )


@contextlib.contextmanager
def _neither_alone(failures: str) -> Iterator[None]:
    """Deletes the table of failures if that of the results, written after it, cannot be."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            files.delete([failures])
        raise


def _timed(blocks: Iterator[Block], seconds: defaultdict[str, float]) -> Iterator[Block]:
    while True:
        started = time.perf_counter()
        block = next(blocks, None)
        seconds["encode"] += time.perf_counter() - started
        if block is None:
            return
        yield block


def _searched(
    shards: Sequence[IndexShard],
    block: Block,
    k: int,
    steps: Retrieval,
    exact: bool,
    exclude_self: bool,
    excluded: pa.Array,
    seconds: defaultdict[str, float],
) -> Matches | None:
    if not block.ids:
        return None
    started = time.perf_counter()
    matches = search_in_steps(
        shards,
        block.vectors,
        block.ids,
        k,
        steps,
        exact=exact,
        excluded=excluded,
        exclude_self=exclude_self,
    )
    seconds["search"] += time.perf_counter() - started
    return matches


def _table(shards: Sequence[IndexShard], block: Block, matches: Matches, schema: pa.Schema) -> pa.Table:
    items = take_items(shards, matches)
    query_ids = pa.array(block.ids, pa.string()).take(pa.array(matches.query))
    columns = [query_ids, pa.array(matches.rank), items["item_id"], pa.array(matches.score)]
    columns += [items[name] for name in items.column_names[1:]]
    return pa.Table.from_arrays(
        [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns], schema=schema
    )
