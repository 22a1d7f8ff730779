"""The two tables of a folder of answers, of any format, as streams: no more than a block of them is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..filesystem.text import lines, open_text
from ..query.tables import FORMATS, Format, table_name, unguarded
from ..sources.text_tables import json_rows, read_csv

RESULTS, FAILURES = "results", "failures"
OURS = ("query_id", "rank", "item_id", "score")
"""Columns that every table of results begins with."""
PROBABILITY = "probability"
"""Behind them where there is a calibration."""
_ROWS = 1 << 14
_BLOCK = 16 << 20
_MOST_ROW = 1 << 26
_TYPES = {
    "query_id": pa.string(),
    "rank": pa.int32(),
    "item_id": pa.string(),
    "score": pa.float32(),
    PROBABILITY: pa.float32(),
}


@dataclass(frozen=True)
class AnswerTables:
    """The tables of a folder of answers: their paths, their format, and the columns of the results."""

    results: str
    failures: str
    format: Format
    columns: tuple[str, ...]

    @property
    def has_probability(self) -> bool:
        """Whether results tell a probability; a field of the catalogue with this name stands further behind."""
        return self.columns[len(OURS) : len(OURS) + 1] == (PROBABILITY,)


def find_answers(folder: str) -> AnswerTables | None:
    """The tables in a folder; None where there are no results.

    Raises:
        LookalikeError: if there are results in several formats, or what is there is no table of results.
        OSError: if it cannot be read.
    """
    found = [one for one in FORMATS if files.exists(files.join(folder, table_name(RESULTS, one)))]
    if not found:
        return None
    if len(found) > 1:
        raise LookalikeError(
            f"Expected results in one format in {folder}. Received: {', '.join(found)}; delete those of before"
        )
    results, failures = (files.join(folder, table_name(name, found[0])) for name in (RESULTS, FAILURES))
    if not files.exists(failures):
        raise LookalikeError(f"Expected {failures} beside the results. Received: none")
    columns = _columns(results, found[0])
    if columns[: len(OURS)] != OURS and columns:
        raise LookalikeError(
            f"Expected a table of `lookalike query` in {results}, with {', '.join(OURS)}. "
            f"Received: {', '.join(columns[:8])}"
        )
    return AnswerTables(results, failures, found[0], columns)


def _columns(path: str, form: Format) -> tuple[str, ...]:
    if form == "parquet":
        with files.open_read(path) as file, damage_named(path):
            return tuple(pq.read_schema(file).names)
    if form in ("csv", "excel"):
        with open_text(path) as file:
            names = read_csv(path, file, _BLOCK)[0]
        return tuple(names if form == "csv" else map(str, map(unguarded, names)))
    first = next(json_rows(path, lines(path, _MOST_ROW)), None)
    return tuple(first[1]) if first else ()


def read_blocks(path: str, form: Format, columns: tuple[str, ...] | None = None) -> Iterator[pa.Table]:
    """The rows of a table, some thousands at a time; ids as text; rank, score and probability as numbers.

    Args:
        path: of the table.
        form: of it.
        columns: wanted; None for all.

    Raises:
        LookalikeError: if it is damaged.
        OSError: if it cannot be read.
    """
    for block in _READERS[form](path, columns):
        yield _typed(block, path)


def answer_blocks(tables: AnswerTables, columns: tuple[str, ...] | None = None) -> Iterator[pa.Table]:
    """The rows of the results as `read_blocks` gives them, with a value in each of our columns.

    Raises:
        LookalikeError: if they are damaged.
        OSError: if they cannot be read.
    """
    ours = (*OURS, PROBABILITY) if tables.has_probability else OURS
    before = 0
    for block in read_blocks(tables.results, tables.format, columns):
        for name in ours:
            if block[name].null_count:
                raise _damaged(tables, f"none of {name} in some row")
        rank = block["rank"].to_numpy()
        if len(rank) and not ((rank == 1) | (rank == np.append(before, rank[:-1]) + 1)).all():
            raise _damaged(tables, "ranks that do not count from 1")
        before = rank[-1] if len(rank) else before
        yield block


def _damaged(tables: AnswerTables, received: str) -> LookalikeError:
    return LookalikeError(
        f"Expected the results of `lookalike query` in {tables.results}, as they were written. Received: {received}"
    )


def _parquet(path: str, columns: tuple[str, ...] | None) -> Iterator[pa.Table]:
    with files.open_read(path) as file, damage_named(path):
        for batch in pq.ParquetFile(file).iter_batches(_ROWS, columns=columns and list(columns)):
            batch.validate(full=True)  # text that is not UTF-8
            yield pa.Table.from_batches([batch])


def _csv(path: str, columns: tuple[str, ...] | None) -> Iterator[pa.Table]:
    with open_text(path) as file:
        names, batches = read_csv(path, file, _BLOCK)
        for batch in batches:
            table = pa.Table.from_arrays(batch.columns, names=names)
            yield table.select(list(columns)) if columns else table


def _excel(path: str, columns: tuple[str, ...] | None) -> Iterator[pa.Table]:
    for block in _csv(path, None):
        names = [unguarded(name) for name in block.column_names]
        texts = [pa.array(map(unguarded, column.to_pylist()), pa.string()) for column in block.columns]
        table = pa.Table.from_arrays(texts, names=names)
        yield table.select(list(columns)) if columns else table


def _json_lines(path: str, columns: tuple[str, ...] | None) -> Iterator[pa.Table]:
    rows = json_rows(path, lines(path, _MOST_ROW))
    while block := [row for _, row in islice(rows, _ROWS)]:
        names = columns or tuple(block[0])
        yield pa.table({name: _column([row.get(name) for row in block]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    """What JSON has in a column; where that is of several types, or of numbers beyond them, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


_READERS = {"parquet": _parquet, "csv": _csv, "excel": _excel, "jsonl": _json_lines}


def _typed(block: pa.Table, path: str) -> pa.Table:
    """The same with our columns as they are in Parquet."""
    for place, name in enumerate(block.column_names[: len(OURS) + 1]):
        kind = _TYPES.get(name)
        if kind is not None and block.column(place).type != kind:
            try:
                block = block.set_column(place, name, block.column(place).cast(kind))
            except pa.ArrowException as error:
                raise LookalikeError(f"{path}: {name} cannot be read as {kind}: {error}") from None
    return block
