"""A query table, CSV, JSON Lines, Parquet or a NumPy array of vectors: which of its columns is what."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem.files import FileInfo
from ..filesystem.text import lines, open_text
from ..sources.parquet_pages import open_parquet
from ..sources.text_tables import JsonType, check_column_name, json_rows, read_csv
from ..sources.types import arrow_type
from .vector_arrays import vector_array_columns
from .vector_files import ID_COLUMNS, vector_column_of

logger = logging.getLogger(__name__)
Form = Literal["csv", "jsonl", "parquet", "npy"]
Content = Literal["path", "image", "item_id", "vector", "text"]
FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".npy": "npy",
}
"""Ending -> form."""
QUERY_ID, BOX, WHERE = "query_id", "box", "where"
TEXT, TEXT_WEIGHT = "text", "text_weight"
ASKED_WITH, UNDERSTOOD_AS = "asked_with", "understood_as"
"""Columns of results of a table that asks in words: what each query was, and as what its text was understood."""
MOST_ROW = 64 << 20
"""Bytes of a line of JSON, or of a row of CSV, in which a picture may stand in base64."""
_VECTORS = ("vector", "embedding")
_MOST_COLUMNS = 1000
_MOST_SHOWN = 1000
"""Characters of the names of columns in a sentence."""


@dataclass(frozen=True)
class QueryTable:
    """What a query table holds.

    Attributes:
        files: one after another.
        form: of all of them.
        content: what a query asks with.
        column: that has it.
        id_column: that has the ids; None where they are row numbers.
        has_box: whether a column `box` says which part of a picture is meant.
        columns: of `QueryBlock.columns`: those of the files, and behind them `told`.
        has_text: whether queries ask in words, alone or beside a picture.
        has_weight: whether a column says how much words weigh beside a picture.
    """

    files: tuple[FileInfo, ...]
    form: Form
    content: Content
    column: str
    id_column: str | None
    has_box: bool
    columns: pa.Schema
    has_text: bool = False
    has_weight: bool = False

    @property
    def told(self) -> list[str]:
        """The columns that are in no file: `words` fills them."""
        return [ASKED_WITH, UNDERSTOOD_AS] if self.has_text else []

    @property
    def in_files(self) -> list[pa.Field]:
        """The fields of `columns` that are read."""
        return list(self.columns)[: len(self.columns) - len(self.told)]

    @property
    def has_pictures(self) -> bool:
        """Whether queries are encoded."""
        return self.content in ("path", "image")

    @property
    def joins_rows(self) -> bool:
        """Whether neighbouring rows of one id are one query."""
        return self.id_column == QUERY_ID


def form_of(path: str) -> Form | None:
    """The form of a table by its ending; None if it has another."""
    return next((form for ending, form in FORMS.items() if path.lower().endswith(ending)), None)


def open_table(listed: Sequence[FileInfo], form: Form) -> QueryTable:
    """Finds out what a query table holds. JSON Lines are read as a whole for their types.

    Args:
        listed: the files, at least one.
        form: of all of them.

    Raises:
        LookalikeError: naming the columns, if it is not clear what a query asks with, or files differ.
        OSError: if a file cannot be read.
    """
    if form == "jsonl":
        found = [_json_columns(listed)]
    else:
        read = {"csv": _csv_columns, "parquet": _parquet_columns, "npy": vector_array_columns}[form]
        found = [read(info.path) for info in listed]
    for info, columns in zip(listed, found, strict=False):
        if columns != found[0]:
            raise LookalikeError(
                f"Expected the columns of {listed[0].path}, {_listed(found[0])}, in {info.path}. "
                f"Received: {_listed(columns)}"
            )
    return _understood(tuple(listed), form, found[0])


def _understood(
    listed: tuple[FileInfo, ...], form: Form, columns: Mapping[str, pa.DataType | None]
) -> QueryTable:
    path = listed[0].path
    if form in ("parquet", "npy"):
        vector = vector_column_of(pa.schema([(name, kind) for name, kind in columns.items() if name != BOX]))
        vector = None if vector not in _VECTORS and {"path", "image"} & columns.keys() else vector
    else:
        vector = next((name for name in _VECTORS if name in columns), None)
    of_content: dict[Content, str] = {name: name for name in ("path", "image", "item_id") if name in columns}
    if vector:
        of_content["vector"] = vector
    id_column = QUERY_ID if QUERY_ID in columns else None
    if vector and len(of_content.keys() - {"item_id"}) == 1:
        # An embedding file is a table of queries, too.
        of_content.pop("item_id", None)
        id_column = id_column or next((name for name in ID_COLUMNS if name in columns), None)
    if TEXT in columns and not of_content:
        of_content["text"] = TEXT
    numbers = next((name for name in _VECTORS if name in columns), None)
    if not of_content and numbers:
        raise LookalikeError(
            f"{path}: expected lists of floats in the column {numbers}. Received: {columns[numbers]}"
        )
    if len(of_content) != 1:
        raise LookalikeError(
            f"{path}: expected one column that queries ask with: path, image, item_id, vector or text. Received: "
            f"{_listed(columns)}. "
            + ("Rename what is only to be carried" if of_content else "Rename one of them")
        )
    ((content, column),) = of_content.items()
    is_picture = content in ("path", "image")
    has_text = TEXT in columns and (is_picture or content == "text")
    has_weight = has_text and is_picture and TEXT_WEIGHT in columns
    ours = {column, id_column, WHERE, *([BOX] if is_picture else []), *([TEXT_WEIGHT] if has_weight else [])}
    ours -= {TEXT}
    if content == "item_id":
        id_column = id_column or "item_id"
    fields = []
    if WHERE in columns:
        kind = columns[WHERE]
        if kind is None or not (is_text(kind) or pa.types.is_null(kind)):
            raise LookalikeError(f"{path}: expected text in the column {WHERE}, a filter. Received: {kind}")
        fields.append(pa.field(WHERE, pa.string()))
    for name, kind in columns.items():
        if name in ours:
            continue
        carried = kind and carried_type(kind)
        if carried is None:
            logger.warning(
                "%s: column %r is not carried into the results: it holds no one type of value", path, name
            )
        else:
            fields.append(pa.field(name, carried))
    if has_text:
        kind = columns[TEXT]
        if kind is None or not (is_text(kind) or pa.types.is_null(kind)):
            raise LookalikeError(f"{path}: expected text in the column {TEXT}. Received: {kind}")
        fields += [pa.field(ASKED_WITH, pa.string()), pa.field(UNDERSTOOD_AS, pa.string())]
    has_box = BOX in columns and is_picture
    schema = pa.schema(fields)
    return QueryTable(listed, form, content, column, id_column, has_box, schema, has_text, has_weight)


def carried_type(kind: pa.DataType) -> pa.DataType | None:
    """The type in which values of a column are carried into the results, one of metadata's; None if there is none."""
    types = pa.types
    if types.is_dictionary(kind):
        return carried_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = carried_type(kind.value_type)
        return pa.list_(inner) if inner in (pa.string(), pa.int64(), pa.float64()) else None
    if is_text(kind) or types.is_null(kind):
        return arrow_type("string")
    if types.is_boolean(kind) or types.is_uint64(kind) or types.is_decimal128(kind):
        return kind
    if types.is_integer(kind):
        return arrow_type("int64")
    if types.is_floating(kind):
        return arrow_type("float64")
    if types.is_date(kind):
        return arrow_type("date")
    return arrow_type("timestamp") if types.is_timestamp(kind) else None


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _csv_columns(path: str) -> dict[str, pa.DataType | None]:
    with open_text(path) as file:
        names, _ = read_csv(path, file, MOST_ROW)
    return dict.fromkeys(_once(path, names), pa.string())


def _parquet_columns(path: str) -> dict[str, pa.DataType | None]:
    with open_parquet(path) as file:
        schema = pq.read_schema(file)
    _once(path, schema.names)
    return {field.name: field.type for field in schema}


def _json_columns(listed: Sequence[FileInfo]) -> dict[str, pa.DataType | None]:
    found: dict[str, JsonType] = {}
    for info in listed:
        for _, row in json_rows(info.path, lines(info.path, MOST_ROW)):
            for name, value in row.items():
                if name not in found:
                    _once(info.path, [*found, name])
                    found[name] = JsonType()
                found[name].add(value)
    return {name: arrow_type(kind.name) if kind.name else None for name, kind in found.items()}


def _once(path: str, names: list[str]) -> list[str]:
    """The same names of columns. Raises LookalikeError if one is missing, there twice or not UTF-8, or for too many."""
    if len(names) > _MOST_COLUMNS:
        raise LookalikeError(f"{path}: expected at most {_MOST_COLUMNS:,} columns. Received: more")
    for name in names:
        check_column_name(path, name)
    if "" in names or len(set(names)) < len(names):
        raise LookalikeError(
            f"{path}: expected a name of its own for each column. Received: {_listed(names)}"
        )
    return names


def _listed(columns: Iterable[str]) -> str:
    text = ", ".join(columns) or "no column"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
