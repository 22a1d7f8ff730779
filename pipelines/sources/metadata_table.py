"""A table of metadata for `pack`: CSV or JSON Lines, joined with images by their paths."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.text import as_utf8
from .fields import shown
from .text_tables import JsonType, check_column_name, json_rows, read_csv
from .types import UnfitError, arrow_type, convert

KEY_COLUMNS = ("path", "file", "file_name", "filename", "image", "item_id", "id")
"""What the column may be called that holds the image's relative path; the first counts."""


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """Metadata of images.

    Attributes:
        types: name -> type, one of `types.TYPES`.
        columns: name -> values as `types.convert` gives them, None where there is none; all of one length.
        rows: relative path of an image -> its place in the columns.
    """

    types: Mapping[str, str]
    columns: Mapping[str, list[Any]]
    rows: Mapping[str, int]

    def of(self, path: str) -> dict[str, Any]:
        """The metadata of an image; all None if no row names it."""
        row = self.rows.get(path)
        return {name: None if row is None else values[row] for name, values in self.columns.items()}

    @property
    def schema(self) -> pa.Schema:
        """The columns in Arrow."""
        return pa.schema([(name, arrow_type(kind)) for name, kind in self.types.items()])


NO_METADATA = MetadataTable({}, {}, {})


def read_metadata(path: str, types: Mapping[str, str], reserved: Iterable[str] = ()) -> MetadataTable:
    """Reads a table.

    In CSV all is text unless a type is declared, and an empty cell is null unless it is quoted: `""` is empty text.
    JSON Lines (`.jsonl`, `.ndjson`, `.json`) have types of their own: text, bool, int64 (uint64 if one needs it),
    float64 if a number has a fraction, lists of them; what is declared goes before that.

    Args:
        path: the file, in UTF-8, or UTF-16 with its byte order mark; a header or keys name one of `KEY_COLUMNS`.
        types: column -> declared type.
        reserved: names that no column may have.

    Raises:
        LookalikeError: naming the column and the row that cannot be used.
        OSError: if the file cannot be read.
    """
    try:
        data = as_utf8(files.read_bytes(path), path)
    except FileNotFoundError:
        raise LookalikeError(f"metadata: expected a CSV or JSON Lines file. Received: {path}") from None
    is_json = path.lower().endswith((".jsonl", ".ndjson", ".json"))
    names, columns = (_read_json_lines if is_json else _read_csv)(path, data)
    key = _key_column(path, names)
    for name in (name for name in names if name != key):
        if not name:
            raise LookalikeError(f"{path}: expected a name for each column. Received: one without a name")
        check_column_name(path, name)
        if name in reserved or names.count(name) > 1:
            raise LookalikeError(f"{path}: the column name {name!r} is taken; give that column another name")
    rows = _rows_by_path(path, key, columns.pop(key))
    if unknown := [name for name in types if name not in columns]:
        raise LookalikeError(
            f"{path}: expected a type for one of {', '.join(columns) or 'no column'}. Received: {unknown[0]}"
        )
    chosen = {}
    for name, values in columns.items():
        chosen[name] = types.get(name) or (_json_type(path, name, values) if is_json else "string")
        columns[name] = _converted(path, name, chosen[name], values)
    return MetadataTable(chosen, columns, rows)


def _rows_by_path(path: str, key: str, names: list[Any]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        if not isinstance(name, str):
            raise LookalikeError(
                f"{path}: expected text in column {key!r}. Received: {name!r} in row {row + 1}"
            )
        name = name.removeprefix("./")
        if name in rows:
            raise LookalikeError(
                f"{path}: column {key!r} names {name!r} twice, in rows {rows[name] + 1} and {row + 1}"
            )
        rows[name] = row
    return rows


def _key_column(path: str, names: list[str]) -> str:
    for name in KEY_COLUMNS:
        if names.count(name) == 1:
            return name
    raise LookalikeError(
        f"{path}: expected a column of relative paths, named one of {', '.join(KEY_COLUMNS)}. "
        f"Received: {', '.join(names) or 'no column'}"
    )


def _converted(path: str, name: str, kind: str, values: list[Any]) -> list[Any]:
    made = []
    for row, value in enumerate(values):
        try:
            # Some writers quote every cell, and no other type has an empty value.
            made.append(None if value == "" and kind != "string" else convert(kind, value))
        except UnfitError:
            raise LookalikeError(
                f"{path}: expected {kind} in column {name!r}. Received: {shown(value)} in row {row + 1}"
            ) from None
    return made


def _read_csv(path: str, data: bytes) -> tuple[list[str], dict[str, list[Any]]]:
    names, batches = read_csv(path, io.BytesIO(data), len(data) + 1)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for batch in batches:
        for name, column in zip(names, batch.columns, strict=True):
            columns[name] += column.to_pylist()
    return names, columns


def _read_json_lines(path: str, data: bytes) -> tuple[list[str], dict[str, list[Any]]]:
    rows = [row for _, row in json_rows(path, data.split(b"\n"))]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, {name: [row.get(name) for row in rows] for name in names}


def _json_type(path: str, name: str, values: list[Any]) -> str:
    """The one type that all values of a column have."""
    found = JsonType()
    for value in values:
        found.add(value)
    if found.name is None:
        raise LookalikeError(
            f"{path}: expected values of one type in field {name!r}, or a declared type. Received: {found}"
        )
    return found.name
