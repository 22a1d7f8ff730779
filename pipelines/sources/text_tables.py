"""Tables in text, CSV or JSON Lines: read as a stream, and what cannot be read is named."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from lookalike.model.errors import LookalikeError

from .fields import read_json, shown
from .types import TYPES, UnfitError, text_of

_NUMBERS = ("int64", "uint64", "float64")
_LARGEST_BLOCK = 2**31 - 1
_FIELD_LIMIT = 2**31 - 1


def read_csv(path: str, file: BinaryIO, block: int) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """A CSV table with a header, all of it text. An empty cell is null unless it is quoted: `""` is empty text.

    Args:
        path: for sentences.
        file: the content, in UTF-8. It is read twice: Arrow takes all behind a quote that is never closed for one cell.
        block: bytes that are read at a time; a row has to fit.

    Returns:
        The names of the columns, in order; and the rows.

    Raises:
        LookalikeError: naming what is wrong; of the rows, when they come.
        OSError: if the file cannot be read.
    """
    start = file.tell()
    with _csv_named(path):
        names = _checked_header(file, block)
    file.seek(start)
    return names, _csv_rows(path, file, names, min(max(block, 1), _LARGEST_BLOCK))


def _csv_rows(path: str, file: BinaryIO, names: list[str], block: int) -> Iterator[pa.RecordBatch]:
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with _csv_named(path):
        reader = pa_csv.open_csv(
            file,
            pa_csv.ReadOptions(use_threads=False, block_size=block),
            pa_csv.ParseOptions(newlines_in_values=True),
            convert,
        )
    while True:
        with _csv_named(path):
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        yield batch


@contextlib.contextmanager
def _csv_named(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, csv.Error, ValueError) as error:
        raise LookalikeError(
            f"{path}: expected CSV with commas and a header, in UTF-8. Received: {error}"
        ) from None


def _checked_header(file: BinaryIO, most: int) -> list[str]:
    """The names of the columns. Raises csv.Error if a quote is never closed, or a row is longer than `most`."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    text = io.TextIOWrapper(file, "utf-8", newline="")
    size = 0

    def coming() -> Iterator[str]:
        nonlocal size
        while line := text.readline(most + 1):
            size += len(line)
            if size > most:
                raise csv.Error(f"more than {most:,} characters")
            yield line

    names: list[str] = []
    start = 1
    try:
        rows = csv.reader(coming(), strict=True)
        try:
            for row in rows:
                names = names or row
                start, size = rows.line_num + 1, 0
        except csv.Error as error:
            raise csv.Error(f"{error}, in the row that begins in line {start}") from None
        if names and names[0].startswith("\ufeff"):  # Arrow passes over it
            raise csv.Error("a second byte order mark")
        return names
    finally:
        text.detach()
        csv.field_size_limit(before)


def check_column_name(path: str, name: str) -> None:
    """Raises LookalikeError for the name of a column that is not UTF-8: JSON may hold half a character."""
    try:
        text_of(name)
    except UnfitError as error:
        raise LookalikeError(
            f"{path}: expected names of columns in UTF-8. Received: {shown(name)}, {error}"
        ) from None


def json_rows(path: str, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON Lines and the lines that they stand in, from 1; empty lines are skipped.

    Raises:
        LookalikeError: naming a line that holds none, or one with a key twice.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row, repeated = read_json(line)
        except (ValueError, RecursionError) as error:
            raise LookalikeError(f"{path}: expected JSON in line {number}. Received: {error}") from None
        if not isinstance(row, dict):
            raise LookalikeError(f"{path}: expected an object in line {number}. Received: {shown(row)}")
        if repeated:
            raise LookalikeError(
                f"{path}: expected each key once in line {number}. Received: {shown(min(repeated))} twice"
            )
        yield number, row


class JsonType:
    """The type of a column of JSON, from its values one after another."""

    def __init__(self) -> None:
        self._single: set[str] = set()
        self._inner: set[str] = set()
        self._has_lists = False

    def add(self, value: Any) -> None:
        """Looks at one value; null is of every type."""
        if isinstance(value, list):
            self._has_lists = True
            self._inner.update(map(_kind_of, value))
        elif value is not None:
            self._single.add(_kind_of(value))

    def __str__(self) -> str:
        """The type, or all that are found."""
        if not self._has_lists:
            kinds = _united(self._single)
        elif self._single:
            kinds = self._inner | {"list"}
        else:
            kinds = {f"list<{kind}>" for kind in _united(self._inner)}
        return ", ".join(sorted(kinds))

    @property
    def name(self) -> str | None:
        """The one type, of `types.TYPES`, that all values have; None if there is none."""
        return str(self) if str(self) in TYPES else None


def _united(kinds: set[str]) -> set[str]:
    """The smallest type of number that holds all; text where there is nothing."""
    if kinds and kinds <= set(_NUMBERS):
        return {max(kinds, key=_NUMBERS.index)}
    return kinds or {"string"}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else "uint64"
    return {str: "string", Decimal: "float64", float: "float64"}.get(type(value), type(value).__name__)
