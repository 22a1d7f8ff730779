"""A limit on the memory of this process, which the import of a library may pass."""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Iterator
from pathlib import Path

# RLIMIT_DATA counts what is private and writable: the heap, large arrays and stacks. RLIMIT_AS would count the code
# of libraries, too, of which TensorFlow maps more than a gigabyte.
_KIND = resource.RLIMIT_DATA
_limit: int | None = None


def limit_memory(size: int) -> None:
    """Lets this process take `size` bytes more than it has now, as Linux counts its data (setrlimit(2), RLIMIT_DATA).

    What does not fit is a MemoryError, or what a native library makes of it.
    """
    global _limit
    _limit = taken() + size
    _apply(_limit)


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Context without the limit, if one was set; what is taken inside comes on top of it."""
    global _limit
    if _limit is None:
        yield
        return
    before = taken()
    _apply(resource.RLIM_INFINITY)
    try:
        yield
    finally:
        _limit += max(0, taken() - before)
        _apply(_limit)


def _apply(limit: int) -> None:
    set_limit(_KIND, limit)


def set_limit(kind: int, limit: int) -> None:
    """Sets one of this process's own limits (setrlimit(2)), to no more than those who started it allow."""
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY and (limit == resource.RLIM_INFINITY or limit > most):
        limit = most
    resource.setrlimit(kind, (limit, most))


def taken() -> int:
    """Bytes of data that this process has: proc(5), `VmData`; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmData:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0
