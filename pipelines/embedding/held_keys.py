"""Keys of contents in memory: which of the files that hold one is the last."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

HELD = np.dtype([("key", np.uint64), ("file", np.int32), ("row", np.int64)])
"""A key, and where it is held; see `splits.KEYS`."""
_AT_ONCE = 1 << 20
"""Rows that are put in order at once, at least."""


def are_in(keys: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Whether each key is among others, which ascend: bool (keys,)."""
    at = np.searchsorted(ascending, keys)
    found = at < len(ascending)
    found[found] = ascending[at[found]] == keys[found]
    return found


def last_of_each(batches: Iterable[pa.RecordBatch]) -> np.ndarray:
    """Rows of `KEYS` -> for each key, ascending, its row in the file of the highest number: `HELD` (keys,).

    What is in memory are the keys of a part, which are `splits.PART` at most, and as many rows more: of four million
    rows 284 MiB, and 502 of 20 million among which each key comes five times.
    """
    held = np.empty(0, HELD)
    waiting: list[np.ndarray] = []

    def settled() -> np.ndarray:
        rows = np.concatenate([held, *waiting])
        rows = rows[np.lexsort([rows["row"], rows["file"], rows["key"]])]
        return rows[np.append(rows["key"][1:] != rows["key"][:-1], True)] if len(rows) else rows

    for batch in batches:
        rows = np.empty(len(batch), HELD)
        for name in ("key", "file", "row"):
            rows[name] = batch[name].to_numpy()
        waiting.append(rows)
        if sum(map(len, waiting)) >= max(_AT_ONCE, len(held)):
            held, waiting = settled(), []
    return settled()
