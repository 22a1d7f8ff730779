"""Rows of arrays, a slice at a time, by all threads: what stands between two calls of ScaNN, which has its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_MOST, _FEWEST = 8192, 256
"""Rows of a slice. Arrays of more than a few hundred kilobytes are memory that the system gives anew each time, and its
pages were a tenth of the processor time of a search; for few rows a thread costs more than it saves."""


def in_slices(work: Callable[..., T], threads: int, *arrays: np.ndarray) -> list[T]:
    """What `work` makes of slices of some arrays of one length, in order; at least one slice, if an empty one.

    Args:
        work: takes a slice of each array; several run at once.
        threads: to use.
    """
    count = len(arrays[0])
    size = min(_MOST, max(_FEWEST, -(-count // threads)))
    if count <= size:
        return [work(*arrays)]
    parts = [slice(start, start + size) for start in range(0, count, size)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda part: work(*(array[part] for array in arrays)), parts))
