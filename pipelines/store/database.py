"""DuckDB for what may not fit into memory: it spills to a folder of the run."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

if TYPE_CHECKING:
    import duckdb

MEMORY = "2GB"
"""What DuckDB may take before it spills to the disk."""


@contextlib.contextmanager
def database(spill: str | None, memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database that is gone behind the block.

    Args:
        spill: local folder for a folder of what does not fit; None is that of the system's temporary files.
        memory: what it may take, as DuckDB writes sizes; None is `MEMORY`.

    Raises:
        LookalikeError: if what does not fit cannot be spilled, for want of space, say.
    """
    with importing("DuckDB"):
        import duckdb

    if spill:
        os.makedirs(spill, exist_ok=True)
    # DuckDB's own choice would be a folder .tmp where the command runs.
    with (
        tempfile.TemporaryDirectory(dir=spill) as folder,
        duckdb.connect(config={"temp_directory": folder, "memory_limit": memory or MEMORY}) as connection,
    ):
        try:
            yield connection
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            reason = str(error).splitlines()[0]
            raise LookalikeError(f"{folder}, where what does not fit into memory goes: {reason}") from error


def take_rows(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
) -> None:
    """Runs a statement that takes rows from `batches`. Raises what they raise."""
    raised: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            raised.append(error)
            raise

    connection.register("batches", pa.RecordBatchReader.from_batches(schema, watched()))
    try:
        connection.execute(statement)
    except Exception:
        if raised:  # DuckDB tells only its text
            raise raised[0] from None
        raise
    connection.unregister("batches")
