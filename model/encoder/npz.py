"""Arrays from .npz files that may come from anyone."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from ..errors import LookalikeError

_NOT_ARRAYS = (
    *(ValueError, KeyError, OSError, EOFError, NotImplementedError, MemoryError, RuntimeError),
    *(SyntaxError, TypeError, ArithmeticError, RecursionError, TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise for a file that is no .npz, or a damaged one."""


def read_npz(data: bytes, path: str | Path, what: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; never unpickles.

    Args:
        data: the whole file.
        path: of it, for the sentence.
        what: it should hold, for the sentence.

    Raises:
        LookalikeError: if it is another file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            # Packed, a file of 1 MB could become one of 1 GB.
            if any(member.file_size > len(data) for member in members):
                raise ValueError("arrays that are larger than the file")
            if len({member.filename.removesuffix(".npy") for member in members}) < len(members):
                raise ValueError("two arrays of one name")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]}, which is no array")
        return found
    except _NOT_ARRAYS as error:
        raise LookalikeError(f"Expected {what} in {path}. Received: {error}") from None
