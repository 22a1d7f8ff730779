"""Embedding files as the indexing job reads them: first the digest, then a few rows at a time."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.parquet import damage_named

WHOLE = 64 << 20
"""Up to so many bytes a file is read once, into memory; a larger one is read for its digest, and then for its rows."""
_BATCH = 8192


class DamagedError(LookalikeError):
    """A file of the store that is not what its digest says."""


@contextlib.contextmanager
def open_whole(path: str, sha256: str) -> Iterator[BinaryIO]:
    """Opens a file that is what its digest says.

    Raises:
        DamagedError: if it is not.
        OSError: if it cannot be read.
    """
    with files.open_read(path) as file:
        digest = hashlib.sha256()
        kept: io.BytesIO | None = io.BytesIO()
        while piece := file.read(
            1 << 20
        ):  # whoever reads much at once reserves it, however small the file is
            digest.update(piece)
            if kept and kept.write(piece) and kept.tell() > WHOLE:
                kept = None
        if digest.hexdigest() != sha256:
            raise DamagedError(
                f"The file is damaged: {path} should have SHA-256 {sha256}. Received: {digest.hexdigest()}"
            )
        opened = kept or file
        opened.seek(0)
        yield opened


def open_parquet(file: BinaryIO, path: str) -> pq.ParquetFile:
    """An open embedding file as Parquet. Raises as `rows_of`."""
    with damage_named(path):
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)


def rows_of(parquet: pq.ParquetFile, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of an embedding file, a batch at a time.

    Raises:
        LookalikeError: if it is damaged though its digest was not asked, naming it by `path`.
        OSError: if it cannot be read.
    """
    with damage_named(path):
        for batch in parquet.iter_batches(_BATCH, columns=list(columns), use_threads=False):
            batch.validate(full=True)
            yield batch
