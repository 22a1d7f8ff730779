"""Parquet files that others wrote: what Arrow says of damaged content becomes a sentence that names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from lookalike.model.errors import LookalikeError


@contextlib.contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Context in which a Parquet file is read.

    Raises:
        LookalikeError: if it is damaged, holds text that is not UTF-8, or columns of other types than are read.
        OSError: if the file system fails, which tells a number.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LookalikeError(f"{path} is not a whole Parquet file: {reason}") from None
