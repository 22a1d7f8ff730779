"""The items of an index shard that are no longer served: a file of their rows, beside what replaced them."""

from __future__ import annotations

import io

import numpy as np

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .generation import HiddenRows


def written_rows(rows: np.ndarray) -> bytes:
    """The content of a file of rows, int64 (m,), ascending."""
    buffer = io.BytesIO()
    np.save(buffer, rows.astype(np.int64), allow_pickle=False)
    return buffer.getvalue()


def read_hidden(root: str, hidden: HiddenRows | None) -> np.ndarray:
    """The rows of an index shard's items that are hidden, int64 (m,), ascending; none for None.

    Raises:
        LookalikeError: if the file is not there, or damaged.
    """
    if hidden is None:
        return np.empty(0, np.int64)
    path = files.join(root, hidden.path)
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise LookalikeError(f"{path} cannot be read: {files.reason(error)}") from None
    files.check_digest(path, data, hidden.sha256)
    rows: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return rows
