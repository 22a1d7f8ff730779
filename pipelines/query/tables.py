"""Result and failure tables as Parquet, CSV, JSON Lines or CSV for spreadsheets: written whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import json
import math
from collections.abc import Iterator
from typing import IO, Any, Literal, get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..filesystem import files
from ..sources.types import plain

Format = Literal["parquet", "csv", "jsonl", "excel"]
_ROWS = 1 << 17
"""Rows of a row group in Parquet."""
FORMATS: tuple[Format, ...] = get_args(Format)
FORMAT_HELP = "csv is exact, for programs; excel is CSV whose text a spreadsheet takes for no formula."
_ACTS_IN_A_CELL = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""How text begins that a spreadsheet may take for a formula: OWASP, "CSV Injection"."""


def table_name(name: str, table_format: Format) -> str:
    """The file of a table: its name, and an ending by which programs know what it is.

    >>> table_name("results", "jsonl"), table_name("results", "excel")
    ('results.jsonl', 'results.excel.csv')
    """
    return f"{name}.{'excel.csv' if table_format == 'excel' else table_format}"


class _JsonLines:
    """What `pq.ParquetWriter` is for Parquet."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write_table(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            clean = {name: plain(_finite(value)) for name, value in row.items()}
            self._file.write(json.dumps(clean, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """The file is closed by who opened it."""


def _finite(value: Any) -> Any:
    """A value, or None in place of NaN and infinity, which JSON has not."""
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Csv:
    """The same for CSV, which writes what Arrow does not as text: decimals, timestamps, and lists as JSON."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._as_text = {field.name for field in schema if _is_text_in_csv(field.type)}
        fields = [pa.field(f.name, pa.string()) if f.name in self._as_text else f for f in schema]
        self._schema = pa.schema(fields)
        self._writer = pyarrow.csv.CSVWriter(file, self._schema)

    def write_table(self, table: pa.Table) -> None:
        columns = [
            pa.array(map(_csv_text, column.to_pylist()), pa.string()) if name in self._as_text else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _is_text_in_csv(kind: pa.DataType) -> bool:
    return pa.types.is_decimal(kind) or pa.types.is_timestamp(kind) or pa.types.is_list(kind)


def _csv_text(value: Any) -> str | None:
    if isinstance(value, list):
        return json.dumps(plain(value), ensure_ascii=False)
    return None if value is None else str(plain(value))


class _Excel(_Csv):
    """CSV that a spreadsheet opens as what it is: told to be UTF-8 by its first bytes, and without formulas.

    Text that would be one has a `'` before it, names of columns included, so that ids are those that `unguarded` gives.
    """

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        file.write(codecs.BOM_UTF8)
        self._plain = schema
        super().__init__(file, pa.schema([pa.field(_guarded(f.name), f.type) for f in schema]))

    def write_table(self, table: pa.Table) -> None:
        columns = [
            pa.array(map(_guarded, column.to_pylist()), pa.string())
            if pa.types.is_string(field.type)
            else column
            for field, column in zip(self._plain, table.columns, strict=True)
        ]
        super().write_table(pa.table(columns, names=list(map(_guarded, table.column_names))))


def _guarded(text: str | None) -> str | None:
    return f"'{text}" if _is_to_guard(text) else text


def unguarded(text: str | None) -> str | None:
    """The text that a cell of `--format excel` was made of.

    >>> unguarded("'=1"), unguarded("''=1"), unguarded("'tis")
    ('=1', "'=1", "'tis")
    """
    return text[1:] if text and text.startswith("'") and _is_to_guard(text) else text


def _is_to_guard(text: str | None) -> bool:
    # A mark of the text's own gets another one, so that a cell can be read back.
    return text is not None and text.lstrip("'").startswith(_ACTS_IN_A_CELL)


class _Regrouped:
    """Hands rows on in tables of `_ROWS`, so that the bytes of a file do not depend on how its rows came."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write_table(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += len(table)
        if self._rows >= _ROWS:
            self._flush(self._rows - self._rows % _ROWS)

    def close(self) -> None:
        self._flush(self._rows)
        self._writer.close()

    def _flush(self, count: int) -> None:
        if not count:
            return
        rows = pa.concat_tables(self._waiting)
        for start in range(0, count, _ROWS):
            self._writer.write_table(rows.slice(start, min(_ROWS, count - start)).combine_chunks())
        self._waiting = [rows.slice(count)]
        self._rows -= count


@contextlib.contextmanager
def open_table(path: str, schema: pa.Schema, table_format: Format) -> Iterator[Any]:
    """Opens a table for writing; gives an object with `write_table`. It appears when the block ends well.

    Raises:
        OSError: if it cannot be written; then nothing is left under its name.
    """
    files.delete_dead(path)
    with files.write_atomic(path) as file:
        if table_format == "parquet":
            # A dictionary of ids and scores that seldom repeat took half of the time and more space.
            repeating = [name for name in schema.names if name not in ("item_id", "score", "probability")]
            writer: Any = pq.ParquetWriter(file, schema, compression="snappy", use_dictionary=repeating)
        elif table_format == "csv":
            writer = _Csv(file, schema)
        elif table_format == "excel":
            writer = _Excel(file, schema)
        else:
            writer = _JsonLines(file)
        regrouped = _Regrouped(writer)
        try:
            yield regrouped
            regrouped.close()
        except BaseException:
            _abandon(writer)
            raise


def _abandon(writer: Any) -> None:
    """Closes a writer whose file is given up; Parquet's would try again, and complain, when it is deleted."""
    with contextlib.suppress(Exception):
        writer.close()
    if isinstance(writer, pq.ParquetWriter):
        writer.is_open = False
