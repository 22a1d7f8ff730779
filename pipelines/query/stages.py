"""A query job in stages, each cut into pieces: for an index larger than memory, for very many queries, and for workers.

    read      images, vectors or ids   -> parts of queries with their vectors (`reading`)
    search    some index shards, some parts: opened a few at a time, the best answers kept (`index.pieces`)
    combine   the answers of all index shards to some parts -> rows of the table, or the queries of a second search
    and at last the rows are put together, in input order

What passes from one to the next are files in a folder beside the tables, which is gone in the end.
"""

from __future__ import annotations

import contextlib
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from lookalike.model.encoder.manifest import MANIFEST
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.text import lines
from ..index.pieces import (
    SETS,
    Question,
    Search,
    SearchPiece,
    divided,
    write_ids,
)
from ..index.post_processing import BLOCK
from ..runner import progress
from ..runner.run_folder import run_folder
from ..runner.work_list import MOST_FILES, WorkList, write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..sources import Shard
from ..store import generations
from ..store.encoders import encoder_path
from .answering import Done, Served, discard, failures_of, written
from .combining import Combine, Group, counts_of, rows_of
from .far_queries import FarQueries
from .id_lists import Line, ListedIds, ListedRows
from .inputs import Kind, check_encoder, query_options, text_ids
from .matching import CheckFilters
from .parts import FAILED, Part, find_repeated, queries_of, read_failures, read_parts
from .query_files import image_shards, table_files
from .query_table import form_of
from .reading import ROWS, GatherVectors, IdPiece, LookUp, ReadQueries, Source, vector_sources
from .report import NO_MATCH
from .table_parts import listed_rows, rows_as_shards, write_parts
from .tables import Format
from .vector_files import rows_in_groups

T = TypeVar("T")
MANY = 1 << 21
"""Queries from which on ids are compared on the disk; in memory they would take a few hundred megabytes."""


def is_long(path: str, kind: Kind) -> bool:
    """Whether there are so many queries that their ids are not to be held. Of images it is not known, nor so soon.

    Raises:
        LookalikeError: for a file that is no whole Parquet.
    """
    if kind == "images":
        return False
    count = 0
    for info in files.glob(path) if kind == "ids" else table_files(path):
        if form_of(info.path) != "parquet":
            count += info.size // 16  # bytes of a short row
            continue
        count += sum(rows_in_groups(info.path))
    return count > MANY


@dataclass(frozen=True)
class _Run:
    """A query job under way: what is asked, how far queries may be, where its files are, and who works."""

    served: Served
    far: FarQueries
    folder: str
    flags: Sequence[str]

    def most(self) -> int:
        """Into how many pieces work is cut at most."""
        return pieces_at_most(self.flags)

    def excluded(self) -> str | None:
        """The file of ids that never appear, written when it is asked for first; None for none."""
        path = files.join(self.folder, "excluded")
        if not len(self.served.excluded):
            return None
        if not files.exists(path):
            write_ids(path, self.served.excluded)
        return path

    def list_of(self, name: str, elements: Sequence[Any], decode: Any) -> WorkList[Any]:
        """A list of work in the run's folder."""
        as_json = (element.to_json() for element in elements)
        return write_work_list(
            files.join(self.folder, "work", name), as_json, len(elements), decode, self.most()
        )

    def shown(self, title: str, pieces: int, work: int, what: str) -> contextlib.AbstractContextManager[None]:
        """Shows how far it is; see `progress.shown`."""
        return progress.shown(title, files.join(self.folder, "progress"), pieces, work, what)


def answer_in_stages(
    served: Served,
    path: str,
    kind: Kind,
    out: str,
    tables: tuple[str, str],
    table_format: Format,
    done: Done,
    flags: Sequence[str],
    suspect: bool,
) -> None:
    """Answers a file of queries.

    Args:
        served: what answers.
        path: of the queries.
        kind: what it holds.
        out: folder of the tables.
        tables: paths of the results and the failures.
        table_format: of both.
        done: counts what is done.
        flags: Beam's; none for this process.
        suspect: whether an image among the queries may be what ended a process before.

    Raises:
        LookalikeError: for what the user can mend, also what a worker told.
        OSError: if the tables cannot be written; then neither is there.
    """
    with run_folder(out, "query", flags) as folder:
        refs = served.generation.indexes
        far = FarQueries([generations.read_index(served.config.store, ref) for ref in refs])
        run = _Run(served, far, folder, flags)
        with done.timed("encode"):
            parts = _read(run, path, kind, suspect)
        if not any(part.queries or part.reasons for part in parts):
            raise LookalikeError(f"Expected queries. Received: none in {path}")
        discard(*tables)
        with done.timed("search"):
            repeated = find_repeated(folder, parts, None if files.is_remote(folder) else folder)
            groups = _searched(run, parts)
        done.add(reasons={"duplicate": repeated} if repeated else {})
        with written(*tables, served.schema, table_format, done) as opened, done.timed("write"):
            _put_together(run, parts, groups, opened, done)


def _read(run: _Run, path: str, kind: Kind, suspect: bool) -> list[Part]:
    """The first stage."""
    served, config = run.served, run.served.config
    options = query_options(config.corpus)
    encoder = config.encoder
    shards: Sequence[Shard] = ()
    if kind == "ids":
        _look_up_lines(run, path)
        return read_parts(run.folder)
    if served.table and served.table.content == "item_id":
        listed = listed_rows(run.folder, served, served.table)
        _look_up(run, listed, len(listed.files))
        return read_parts(run.folder)
    if served.table and served.table.content in ("vector", "text"):
        write_parts(run.folder, served, served.table)
        return read_parts(run.folder)
    if kind in ("images", "table"):
        check_encoder(config, served.generation)
        encoder = _seen_by_workers(run)
        shards = (
            rows_as_shards(run.folder, served, served.table) if served.table else image_shards(path, options)
        )
        sources = [Source(number, shard=shard) for number, shard in enumerate(shards)]
    else:
        sources = list(vector_sources(path))
    work_on = ReadQueries(
        folder=run.folder,
        options=options,
        encoder=encoder,
        fingerprint=served.generation.encoder,
        dim=served.generation.dim,
        metric=served.generation.metric,
        max_pixels=config.corpus.max_pixels,
        block=served.block,
        suspect=suspect,
        combine=served.combine,
        check=CheckFilters.of(served),
    )
    with run.shown("reading queries", len(sources), sum(source.size for source in sources), "queries"):
        in_workers("Read queries", work_on, run.list_of("read", sources, Source.from_json), run.flags)
    return read_parts(run.folder)


def _seen_by_workers(run: _Run) -> str:
    """The folder of the encoder: that of the store, where a run has put it, else what the job names."""
    kept = files.join(run.served.config.store, encoder_path(run.served.generation.encoder))
    return kept if files.exists(files.join(kept, MANIFEST)) else run.served.config.encoder


def _look_up_lines(run: _Run, path: str) -> None:
    count = sum(1 for _ in lines(path))
    listed = files.join(run.folder, "work", "ids")
    most = min(MOST_FILES, -(-count // ROWS))
    ids: WorkList[Line] = write_work_list(listed, _lines(path), count, tuple, most)
    served = run.served
    _look_up(run, ListedIds(ids, served.combine, served.generation.metric), ids.pieces)


def _look_up(run: _Run, ids: ListedIds | ListedRows, count: int) -> None:
    """Makes parts of ids that are listed in so many pieces."""
    served = run.served
    how = served.look_up_ids
    work_on = LookUp(
        run.folder,
        served.config.store,
        ids,
        served.generation.dim,
        served.config.query.memory,
        how.size,
        how.at_once,
        how.group,
        run.excluded(),
    )
    sets = _sets(run)
    numbers = tuple(range(count))
    pieces = [IdPiece(number, tuple(refs), numbers) for number, refs in enumerate(sets)]
    in_workers("Look up", work_on, run.list_of("look-up", pieces, IdPiece.from_json), run.flags)
    work = write_work_list(files.join(run.folder, "work", "gather"), numbers, len(numbers), int, run.most())
    in_workers("Gather", GatherVectors(work_on, CheckFilters.of(served)), work, run.flags)


def _lines(path: str) -> Iterator[Line]:
    for names, numbers, failures in text_ids(path):
        good = ((number, name, True) for number, name in zip(numbers.tolist(), names, strict=True))
        yield from heapq.merge(good, ((f.number, f.query_id, False) for f in failures))


def _sets(run: _Run) -> list[Sequence[Any]]:
    """The index shards in parts that workers ask at the same time."""
    return divided(run.served.generation.indexes, SETS if run.most() > 1 else 1)


def _grouped(run: _Run, parts: Sequence[Part]) -> list[list[Part]]:
    """The parts, in order, as many together as are worth opening an index shard for."""
    asked = [part for part in parts if part.queries]
    if run.most() == 1:
        return [asked] if asked else []
    groups: list[list[Part]] = []
    room = 0
    for part in asked:
        if room <= 0:
            groups.append([])
            room = ROWS
        groups[-1].append(part)
        room -= part.queries
    return groups


def _searched(run: _Run, parts: Sequence[Part]) -> list[Group]:
    """The second and third stage, once or twice; gives what was searched together."""
    served, folder = run.served, run.folder
    asked, config = served.asked, served.config
    groups = _grouped(run, parts)
    sets = _sets(run)
    queries = sum(part.queries for part in parts)
    found: list[Group] = []
    for number in range(len(asked.passes)):
        found = [
            Group(
                place,
                tuple(part.name for part in group),
                tuple(_answers(folder, number, place, of_set) for of_set in range(len(sets))),
            )
            for place, group in enumerate(groups)
        ]
        pieces = [
            SearchPiece(
                tuple(refs),
                (Question(tuple(queries_of(folder, number, n) for n in one.parts), one.answers[of_set]),),
            )
            for of_set, refs in enumerate(sets)
            for one in found
        ]
        search = Search(
            config.store, asked, number, config.query.memory, run.excluded(), files.join(folder, "progress")
        )
        shards = sum(len(piece.refs) for piece in pieces)
        with run.shown("searching", shards, queries * len(served.generation.indexes), "answers"):
            work = run.list_of(f"search-{number}", pieces, SearchPiece.from_json)
            in_workers("Search", search, work, run.flags)
        metric, probability = served.generation.metric, served.probability
        combine = Combine(folder, asked, number, metric, served.schema, run.far.limit, probability)
        work = run.list_of(f"combine-{number}", found, Group.from_json)
        in_workers("Combine", combine, work, run.flags)
        files.delete([files.join(folder, "answers")])
    return found


def _answers(folder: str, number: int, group: int, of_set: int) -> str:
    return files.join(folder, "answers", str(number), f"{group:05}-{of_set:03}")


def _put_together(
    run: _Run, parts: Sequence[Part], groups: Sequence[Group], tables: tuple[Any, Any], done: Done
) -> None:
    """The last stage."""
    found, failed = tables
    for group in groups:
        with files.open_read(rows_of(run.folder, group.number)) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                found.write_table(pa.Table.from_batches([batch]))
        last = len(run.served.asked.passes) - 1
        counts = json.loads(files.read_bytes(counts_of(run.folder, last, group.number)))
        unmatched = {NO_MATCH: counts["unmatched"]} if counts["unmatched"] else {}
        done.add(answered=counts["answered"], matches=counts["matches"], reasons=unmatched)
        run.far.add(counts["asked"], counts["far"])
    for part in parts:
        done.add(reasons=part.reasons)
        failures = heapq.merge(*(read_failures(run.folder, of, part.name) for of in FAILED))
        while block := list(islice(failures, BLOCK)):
            failed.write_table(failures_of(block))
    if not (run.served.asked.exact or run.served.in_words):
        run.far.tell()
