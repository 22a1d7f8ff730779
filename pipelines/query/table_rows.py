"""The rows of a query table as a stream, whatever its form: what each asks with, or why it asks nothing.

A block of rows is one Arrow table, in which the columns of `OURS` stand before those that are carried, so that it can
be written down for workers as it is. No query is cut in two by a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem.files import FileInfo
from ..filesystem.paths import anchored
from ..filesystem.text import lines, open_text
from ..index.members import MOST_PICTURES
from ..sources.fields import shown
from ..sources.parquet_pages import open_parquet
from ..sources.text_tables import json_rows, read_csv
from ..sources.types import UnfitError, arrow_type, convert
from .query_table import BOX, MOST_ROW, TEXT_WEIGHT, Content, QueryTable, is_text
from .table_cells import Problems, as_list, edges_of, images_of, place_of, text_cell, utf8_of, vectors_of
from .vector_arrays import vector_arrays
from .vector_files import check_made_by, check_pages, ids_of, plain_column
from .words import words_of

if TYPE_CHECKING:
    from lookalike.model.text.encoder import TextEncoder

OURS = ("query_id", "number", "value", "box", "stage", "error", "words", "weight")
"""Of a block: id of the query, its number (that of its first row), what it asks with, the edges of the box (left, top,
right, bottom), of a row that asks nothing the stage and the error, and of words beside a picture their vector and
weight."""
_MOST_BYTES = 64 << 20
_FEW, _MANY = 16, 4096
"""Rows that are read from Parquet at a time, with images and without."""
_BOX_TYPE = pa.list_(pa.int32(), 4)
_LISTS = ("list<string>", "list<int64>", "list<float64>")
_JSON_KINDS = {arrow_type(kind): kind for kind in ("string", "bool", "int64", "uint64", "float64", *_LISTS)}


def read_table(
    table: QueryTable, size: int, dim: int, fingerprint: str, words: TextEncoder | None = None
) -> Iterator[pa.Table]:
    """The rows in blocks of at most `size`, and of at most some 64 MiB, but for a query that has more.

    Args:
        table: to read.
        size: rows in a block.
        dim: length of a vector.
        fingerprint: of the encoder whose vectors may be asked with.
        words: encodes texts; None where their vectors are not wanted.

    Raises:
        LookalikeError: if a file is damaged; nothing behind the place can be read.
        OSError: if one cannot be read.
    """
    return _in_blocks(_Reader(table, dim, fingerprint, words).rows(), size)


def carried_of(rows: pa.Table) -> pa.Table | None:
    """The columns of `QueryBlock.columns`; None where there are none."""
    return rows.select(list(range(len(OURS), rows.num_columns))) if rows.num_columns > len(OURS) else None


def _in_blocks(coming: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for rows in coming:
        waiting.append(rows)
        while sum(map(len, waiting)) > size or sum(one.nbytes for one in waiting) > _MOST_BYTES:
            joined = pa.concat_tables(waiting)
            numbers = joined.column(1).to_numpy()
            starts = np.flatnonzero(np.diff(numbers)) + 1  # the last query may go on in the rows that come
            step = size if joined.nbytes <= _MOST_BYTES else max(1, size * _MOST_BYTES // joined.nbytes)
            if not len(starts):
                break
            cut = int(starts[max(0, np.searchsorted(starts, step, side="right") - 1)])
            yield joined.slice(0, cut)
            waiting = [joined.slice(cut)]
    if rows := [one for one in waiting if len(one)]:
        yield pa.concat_tables(rows)


class _Reader:
    """Reads a table once; it knows the query that the last row belonged to."""

    def __init__(self, table: QueryTable, dim: int, fingerprint: str, words: TextEncoder | None) -> None:
        self._table = table
        self._words = words
        self._dim = dim
        self._fingerprint = fingerprint
        self._start = 0
        self._last: tuple[str, int, int] | None = None

    def rows(self) -> Iterator[pa.Table]:
        read = {"csv": self._csv, "jsonl": self._json_lines, "parquet": self._parquet, "npy": self._npy}[
            self._table.form
        ]
        for info in self._table.files:
            for columns in read(info):
                yield self._as_rows(columns, info)

    def _csv(self, info: FileInfo) -> Iterator[dict[str, Any]]:
        with open_text(info.path) as file:
            names, batches = read_csv(info.path, file, min(info.size + 1, MOST_ROW))
            for batch in batches:
                yield dict(zip(names, batch.columns, strict=True))

    def _json_lines(self, info: FileInfo) -> Iterator[dict[str, Any]]:
        ours = self._ours()
        kinds = {field.name: field.type for field in self._table.in_files}
        step = _FEW if self._table.content == "image" else _MANY
        for block in _in_steps(info.path, step):
            columns: dict[str, Any] = {name: [row.get(name) for _, row in block] for name in ours}
            for name, kind in kinds.items():
                columns[name] = pa.array(
                    [_converted(info.path, name, kind, row, n) for n, row in block], kind
                )
            yield columns

    def _parquet(self, info: FileInfo) -> Iterator[dict[str, Any]]:
        table = self._table
        names = list(dict.fromkeys([*self._ours(), *(field.name for field in table.in_files)]))
        with open_parquet(info.path) as file:
            schema = pq.read_schema(file)
            kinds = {name: schema.field(name).type for name in names}
            images = table.column if table.content == "image" else None
            texts = [name for name, kind in kinds.items() if _is_long(kind) and name != images]
            parquet = pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=texts)
            if table.content == "vector":
                check_made_by(parquet, info.path, self._fingerprint)
            vectors = table.column if table.content == "vector" else None
            pages = check_pages(parquet, info, file, names, vectors, self._dim)
            # A value may stand in a page once, and in all rows: pictures and lists are not read as dictionaries.
            bare = [pages[name] for name in names if name not in texts and name != vectors]
            step = min(_FEW if images else _MANY, max(1, _MOST_BYTES // max([1, *bare])))
            for batch in parquet.iter_batches(batch_size=step, columns=names):
                columns = {name: plain_column(batch[name], info.path) for name in names}
                for name, column in columns.items():
                    if name == table.column or name != table.id_column:
                        columns[name] = _in_utf8(column, table.content if name == table.column else None)
                yield columns

    def _npy(self, info: FileInfo) -> Iterator[dict[str, Any]]:
        return ({self._table.column: vectors} for vectors in vector_arrays(info.path, self._dim))

    def _ours(self) -> list[str]:
        table = self._table
        boxes = [BOX] if table.has_box else []
        weights = [TEXT_WEIGHT] if table.has_weight else []
        return list(dict.fromkeys([*filter(None, [table.id_column]), table.column, *boxes, *weights]))

    def _as_rows(self, columns: dict[str, Any], info: FileInfo) -> pa.Table:
        table = self._table
        count = len(columns[table.column])
        problems = Problems()
        ids = self._ids(columns, problems)
        numbers, kept = self._numbers(ids, problems)
        words = None
        if table.has_text:
            words = words_of(table, columns, ids, self._words, self._dim, problems)
        if words and table.content == "text":
            values = words.vectors
        else:
            pictures = Problems()
            values = self._values(columns[table.column], pictures, info.path)
            for row, why in pictures.errors.items():
                if not words or row not in words.alone:
                    problems.fail(row, *why)
        boxes: Sequence[Any] = [None] * count
        if table.has_box:
            boxes = [edges_of(box, row, problems) for row, box in enumerate(as_list(columns[BOX]))]
        told = [problems.errors.get(row, (None, None)) for row in range(count)]
        arrays = [
            pa.array(ids, pa.string()),
            pa.array(numbers, pa.int64()),
            values,
            pa.array(boxes, _BOX_TYPE),
            pa.array([stage for stage, _ in told], pa.string()),
            pa.array([error for _, error in told], pa.string()),
            *([words.vectors, words.weights] if words else [pa.nulls(count), pa.nulls(count)]),
            *(_as_carried(columns[one.name], one, info.path) for one in table.in_files),
            *(words.told if words else []),
        ]
        self._start += count
        rows = pa.Table.from_arrays(arrays, names=[*OURS, *table.columns.names])
        return rows if all(kept) else rows.filter(pa.array(kept))

    def _ids(self, columns: dict[str, Any], problems: Problems) -> list[str]:
        numbers = range(self._start, self._start + len(columns[self._table.column]))
        if self._table.id_column is None:
            return [str(number) for number in numbers]
        column = columns[self._table.id_column]
        if not isinstance(column, pa.Array):
            column = [one if one is None or isinstance(one, str | int) else shown(one) for one in column]
            column = pa.array([one if one is None else utf8_of(str(one)) for one in column], pa.string())
        names, errors = ids_of(column, numbers)
        for row, name in enumerate(names):
            if not name:
                names[row] = str(numbers[row])
                errors.setdefault(row, "the id is empty")
        for row, error in errors.items():
            problems.fail(row, "id", error)
        return names

    def _numbers(self, ids: list[str], problems: Problems) -> tuple[list[int], list[bool]]:
        """The number of each row's query; and whether the row is kept: of a query of too many, one too many is."""
        numbers, kept = [], []
        for row, query_id in enumerate(ids):
            number, count = self._start + row, 1
            joins = self._table.joins_rows and row not in problems.errors
            if joins and self._last and self._last[0] == query_id:
                _, number, before = self._last
                count = before + 1
            if count > MOST_PICTURES:
                problems.fail(
                    row, "query", f"expected at most {MOST_PICTURES} rows of one query. Received: more"
                )
            self._last = (query_id, number, count) if joins else None
            numbers.append(number)
            kept.append(count <= MOST_PICTURES + 1)
        return numbers, kept

    def _values(self, column: Any, problems: Problems, path: str) -> pa.Array:
        content = self._table.content
        if content == "vector":
            return vectors_of(column, self._dim, problems)
        if content == "image":
            return images_of(column, problems)
        stage = "read" if content == "path" else "lookup"
        texts = [text_cell(value, row, problems, stage, content) for row, value in enumerate(as_list(column))]
        if content == "path":
            folder = anchored(path).rpartition("/")[0]
            texts = [text and place_of(folder, text) for text in texts]
        return pa.array(texts, pa.string())


def _is_long(kind: pa.DataType) -> bool:
    """Whether values of a column are of any length: text or bytes."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _in_utf8(column: pa.Array, content: Content | None) -> pa.Array:
    """The same column, of which text need not be UTF-8; as bytes, if it names pictures or items, which fail one by one.

    Raises:
        pyarrow.ArrowInvalid: if other text is not.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        if content not in ("path", "item_id"):
            raise
        return column.cast(pa.large_binary())
    return column


def _in_steps(path: str, step: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """The objects of JSON Lines and their lines: at most `step` at a time, and some `_MOST_BYTES`."""
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for line in lines(path, MOST_ROW):
            size += len(line)
            yield line

    block = []
    for row in json_rows(path, counted()):
        block.append(row)
        if len(block) == step or size > _MOST_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _as_carried(column: pa.Array, field: pa.Field, path: str) -> pa.Array:
    """A column in the type that it is carried in; of a time what is finer than a microsecond is cut off.

    Raises:
        LookalikeError: if a value does not fit, or is a time that the tables of results could not spell.
    """
    try:
        if column.type != field.type:
            column = column.cast(options=pc.CastOptions(field.type, allow_time_truncate=True))
        if pa.types.is_temporal(field.type):
            pc.min_max(column).as_py()
    except (pa.ArrowInvalid, OverflowError) as error:
        raise LookalikeError(f"{path}: expected {field.type} in {field.name!r}. Received: {error}") from None
    return column


def _converted(path: str, name: str, kind: pa.DataType, row: dict[str, Any], line: int) -> Any:
    value = row.get(name)
    try:
        return convert(_JSON_KINDS[kind], value)
    except UnfitError:
        raise LookalikeError(
            f"{path}: expected {kind} in {name!r} of line {line}. Received: {shown(value)}"
        ) from None
