"""Rows of embedding files that an earlier run left, as workers read them: a file a part, which tells if it is damaged.

    kept/ENCODER/NAME-PART.ids.arrow    rows of `splits.IDS`
    kept/ENCODER/NAME-PART.keys.arrow   rows of `splits.KEYS`

Such a file is an Arrow stream, and behind its end its own SHA-256. Embedding files are numbered in it as in the table
of the same run; see `kept`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa

from lookalike.model.digests import sha256_stream
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .splits import IDS, part_of

_SEAL = 32
"""Bytes of a SHA-256."""
_ROWS = 1 << 16
"""Rows that are written together: every night brings a few to each part."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


class DamagedKeptError(LookalikeError):
    """A file of kept rows that is gone, or not what was written."""


@dataclass(frozen=True)
class KeptParts:
    """The rows of a run, and what their embedding files are called now. It travels to workers.

    Attributes:
        base: what the files of its parts begin with; empty where nothing is kept.
        parts: into how many parts they are split.
        numbers: file of the number that each embedding file has now, -1 for none: int32, little-endian.
    """

    base: str = ""
    parts: int = 0
    numbers: str = ""

    def path(self, schema: pa.Schema, part: int) -> str:
        """The file of a part."""
        return f"{self.base}-{part:05}.{'ids' if schema == IDS else 'keys'}.arrow"

    def read(self, schema: pa.Schema, part: int) -> pa.Buffer:
        """The file of a part, whole, in Arrow's format of streams. Raises as `rows`."""
        path = self.path(schema, part)
        try:
            return read_sealed(path)
        except FileNotFoundError:
            raise DamagedKeptError(f"{path} is not there") from None

    def rows(self, schema: pa.Schema, part: int, parts: int) -> Iterator[pa.RecordBatch]:
        """Those that belong to a part where there are so many `parts`, of embedding files that have a number now.

        Raises:
            DamagedKeptError: if a file is not whole.
            OSError: if one cannot be read.
        """
        if not self.parts:
            return
        numbers = np.frombuffer(files.read_bytes(self.numbers), "<i4")
        step = min(parts, self.parts)
        for own in range(part % step, self.parts, step):
            with pa.ipc.open_stream(self.read(schema, own)) as reader:
                for rows in reader:
                    now = numbers[rows[1].to_numpy()]
                    wanted = now >= 0
                    if self.parts < parts:
                        wanted &= part_of(rows, parts) == part
                    renumbered = rows.set_column(1, schema.field(1), pa.array(now)).filter(pa.array(wanted))
                    if len(renumbered):
                        yield renumbered


@dataclass(frozen=True)
class CheckKept:
    """Parts -> a mark for each that is damaged. It travels to workers.

    Attributes:
        kept: what is looked at.
        schemas: kinds of rows.
        folder: for the marks, of which each holds a sentence.
    """

    kept: KeptParts
    schemas: tuple[pa.Schema, ...]
    folder: str

    def __call__(self, parts: Iterable[int]) -> None:
        for part in parts:
            for schema in self.schemas:
                try:
                    self.kept.read(schema, part)
                except DamagedKeptError as error:
                    files.write_bytes(files.join(self.folder, f"{part:05}"), str(error).encode())


@contextlib.contextmanager
def write_rows(path: str, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Gives what adds rows to a file, which appears when the block ends without an error. Raises OSError."""
    waiting: list[pa.RecordBatch] = []

    def flush() -> None:
        writer.write_table(pa.Table.from_batches(waiting, schema).combine_chunks())
        waiting.clear()

    def add(rows: pa.RecordBatch) -> None:
        waiting.append(rows)
        if sum(map(len, waiting)) >= _ROWS:
            flush()

    with write_sealed(path) as file, pa.ipc.new_stream(file, schema, options=_OPTIONS) as writer:
        yield add
        flush()


@contextlib.contextmanager
def write_sealed(path: str) -> Iterator[IO[bytes]]:
    """As `files.write_atomic`; what the block writes is followed by its SHA-256."""
    with files.write_atomic(path) as file:
        yield file
        file.seek(0)
        digest = sha256_stream(file)  # type: ignore[arg-type]
        file.write(bytes.fromhex(digest))


def read_sealed(path: str) -> pa.Buffer:
    """What `write_sealed` wrote, whole.

    Raises:
        DamagedKeptError: if it is not what was written.
        OSError: if it cannot be read.
    """
    data = memoryview(files.read_bytes(path))
    if hashlib.sha256(data[:-_SEAL]).digest() != data[-_SEAL:]:
        raise DamagedKeptError(f"{path} is damaged")
    return pa.py_buffer(data[:-_SEAL])
