"""Files of a query job that is done in stages: parts of the input, in input order, and what becomes of each.

FOLDER/queries/0/PART  queries with their vectors; queries/1 as query expansion leaves them
FOLDER/ids/PART        their ids, each once for all rows of a query, without the vectors
FOLDER/failures/PART   those that cannot be asked
FOLDER/repeated/PART   those whose id another one before has; only where there are any
FOLDER/unmatched/PART  those for which there is no match, as the third stage finds
FOLDER/done/PART       their numbers, as JSON; written last
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..filesystem import files
from ..index.post_processing import BLOCK
from ..index.query_blocks import write_queries
from ..store.database import database, take_rows
from ..store.notes import table_of
from .blocks import Block, Failure, duplicate

_IDS = pa.schema([("number", pa.int64()), ("query_id", pa.string())])
_REPEATED = """
SELECT place.part AS part, place.number AS number, query_id
FROM (
    SELECT query_id, min(place) AS first, unnest(list(place)) AS place
    FROM (SELECT query_id, {'part': part, 'number': number} AS place FROM batches)
    GROUP BY query_id HAVING count(*) > 1
)
WHERE place > first
"""
"""Grouping spills best; see `index.duplicates`."""
FAILED = ("failures", "repeated", "unmatched")
_FAILURES = pa.schema([*_IDS, ("stage", pa.string()), ("error", pa.string())])


@dataclass(frozen=True)
class Part:
    """What is known of a part of the input.

    Attributes:
        name: of its files; names sort as the input does.
        queries: that can be asked.
        reasons: stage -> those that cannot.
    """

    name: str
    queries: int
    reasons: dict[str, int]


@contextlib.contextmanager
def write_part(folder: str, name: str, dim: int) -> Iterator[Callable[[Block], None]]:
    """Gives a function that adds blocks to a part, which is there when the `with` ends well. Raises OSError.

    The numbers of its blocks must ascend.
    """
    queries, reasons = 0, Counter[str]()
    with (
        write_queries(files.join(folder, "queries", "0", name), dim) as add_queries,
        _stream(files.join(folder, "ids", name), _IDS) as ids,
        write_failures(files.join(folder, "failures", name)) as add_failures,
    ):

        def add(block: Block) -> None:
            nonlocal queries
            if block.ids:
                add_queries(block)
                told = pa.record_batch(
                    [pa.array(block.numbers, pa.int64()), pa.array(block.ids, pa.string())], schema=_IDS
                )
                ids.write_batch(told.filter(pa.array(block.is_first)))
            add_failures(block.failures)
            queries += len(block.ids)
            reasons.update(failure.stage for failure in block.failures)

        yield add
    said = json.dumps({"queries": queries, "reasons": reasons}).encode()
    files.write_bytes(files.join(folder, "done", name), said)


def is_done(folder: str, name: str) -> bool:
    """Whether a part is there."""
    return files.exists(files.join(folder, "done", name))


def read_parts(folder: str) -> list[Part]:
    """All parts, in input order. Raises OSError."""
    found = files.list_files(files.join(folder, "done"))
    return [Part(file.path.rpartition("/")[2], **json.loads(files.read_bytes(file.path))) for file in found]


def queries_of(folder: str, number: int, name: str) -> str:
    """The file of a part's queries for the search of this number, from 0."""
    return files.join(folder, "queries", str(number), name)


@contextlib.contextmanager
def _stream(path: str, schema: pa.Schema) -> Iterator[pa.RecordBatchWriter]:
    with files.write_atomic(path) as file, pa.ipc.new_stream(file, schema) as writer:
        yield writer


@contextlib.contextmanager
def write_failures(path: str) -> Iterator[Callable[[Sequence[Failure]], None]]:
    """Gives a function that adds failures to a file, which appears when the `with` ends well. Raises OSError."""
    with _stream(path, _FAILURES) as writer:

        def add(failures: Sequence[Failure]) -> None:
            if failures:
                writer.write_table(table_of(failures, _FAILURES))

        yield add


def read_failures(folder: str, kind: str, name: str) -> Iterator[Failure]:
    """The failures of a part that are in one of the folders `FAILED`, in input order. Raises OSError."""
    path = files.join(folder, kind, name)
    if files.exists(path):
        with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                yield from map(Failure._make, zip(*(column.to_pylist() for column in batch), strict=True))


def find_repeated(folder: str, parts: Sequence[Part], spill: str | None) -> int:
    """Finds the queries whose id another one before them has, in memory that does not grow with them.

    Args:
        folder: of the run.
        parts: in input order.
        spill: see `database`.

    Returns:
        How many there are.

    Raises:
        LookalikeError, OSError: if a file cannot be read or written.
    """
    schema = pa.schema([("part", pa.int32()), *_IDS])
    told = 0
    with database(spill) as connection:
        take_rows(connection, f"CREATE TABLE repeated AS {_REPEATED}", schema, _ids(folder, parts, schema))
        connection.execute("FROM repeated ORDER BY part, number")
        with contextlib.ExitStack() as stack:
            now, add = -1, None
            while rows := connection.fetchmany(BLOCK):
                told += len(rows)
                for which, of_part in itertools.groupby(rows, key=lambda row: row[0]):
                    if which != now or add is None:
                        stack.close()
                        path = files.join(folder, "repeated", parts[which].name)
                        now, add = which, stack.enter_context(write_failures(path))
                    add([duplicate(number, query_id) for _, number, query_id in of_part])
    return told


def _ids(folder: str, parts: Iterable[Part], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for number, part in enumerate(parts):
        path = files.join(folder, "ids", part.name)
        with files.open_read(path) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                column = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
                yield pa.record_batch([column, *batch], schema=schema)
