"""NumPy files of query vectors, an array of shape (n, dim): read as a stream."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..filesystem import files

COLUMN = "vector"
"""What the column is called in which the vectors are read."""
_ROWS = 4096
_MOST_HEADER = 16 << 10
"""Bytes of a header, which may say of itself that it has gigabytes."""


def vector_array_columns(path: str) -> dict[str, pa.DataType | None]:
    """The one column of such a file. Raises LookalikeError, OSError as `vector_arrays`."""
    with files.open_read(path) as file:
        _header(path, file)
    return {COLUMN: pa.list_(pa.float32())}


def vector_arrays(path: str, dim: int) -> Iterator[pa.Array]:
    """The vectors, as fixed size lists of float32, some at a time.

    Args:
        path: of the file.
        dim: length of a vector.

    Raises:
        LookalikeError: if it is no such array, or cut short; nothing in it is unpickled.
        OSError: if it cannot be read.
    """
    with files.open_read(path) as file:
        shape, dtype = _header(path, file)
        if shape[1] != dim:
            raise LookalikeError(
                f"{path}: expected vectors of {dim} numbers. Received: an array of shape {shape}"
            )
        for start in range(0, shape[0], _ROWS):
            count = min(_ROWS, shape[0] - start)
            data = file.read(count * dim * dtype.itemsize)
            if len(data) != count * dim * dtype.itemsize:
                raise LookalikeError(
                    f"{path}: expected an array of shape {shape}. Received: a file that is cut short"
                )
            with np.errstate(over="ignore"):
                vectors = np.frombuffer(data, dtype).astype(np.float32)
            yield pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim)


def _header(path: str, file: BinaryIO) -> tuple[tuple[int, int], np.dtype]:
    """Shape and type of an array, behind whose header the file then stands."""
    shape, in_columns, dtype = (), False, np.dtype(object)
    head = io.BytesIO(file.read(_MOST_HEADER))
    # NumPy reads the header as Python, with what that raises.
    with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError, TokenError):
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(np.lib.format.read_magic(head))
        if read:
            shape, in_columns, dtype = read(head)
    if len(shape) != 2 or in_columns or dtype.kind != "f" or not shape[1]:
        found = (
            f"shape {shape}, {dtype}{', column by column' if in_columns else ''}"
            if shape
            else "something else"
        )
        raise LookalikeError(f"{path}: expected a NumPy array of floats of shape (n, dim). Received: {found}")
    file.seek(head.tell())
    return shape, dtype
