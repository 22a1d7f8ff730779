"""Result and failure tables as Parquet, CSV or JSON Lines: written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import IO, Any, Literal, get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..filesystem import files

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)


class _JsonLines:
    """What `pq.ParquetWriter` is for Parquet."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write_table(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            # JSON has no NaN and no infinity.
            clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
            self._file.write(json.dumps(clean, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """The file is closed by who opened it."""


@contextlib.contextmanager
def open_table(path: str, schema: pa.Schema, table_format: Format) -> Iterator[Any]:
    """Opens a table for writing; gives an object with `write_table`. It appears when the block ends well.

    Raises:
        OSError: if it cannot be written; then nothing is left under its name.
    """
    with files.write_atomic(path) as file:
        if table_format == "parquet":
            # A dictionary of ids and scores that seldom repeat took half of the time and more space.
            repeating = [name for name in schema.names if name not in ("item_id", "score")]
            writer: Any = pq.ParquetWriter(file, schema, compression="snappy", use_dictionary=repeating)
        elif table_format == "csv":
            writer = pyarrow.csv.CSVWriter(file, schema)
        else:
            writer = _JsonLines(file)
        try:
            yield writer
            writer.close()
        except BaseException:
            _abandon(writer)
            raise


def _abandon(writer: Any) -> None:
    """Closes a writer whose file is given up; Parquet's would try again, and complain, when it is deleted."""
    with contextlib.suppress(Exception):
        writer.close()
    if isinstance(writer, pq.ParquetWriter):
        writer.is_open = False
