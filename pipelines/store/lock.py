"""One writer on a store at a time; what a dead one left behind is recognised and cleaned up.

A local store is guarded by the kernel (`flock` on STORE/LOCK), which lets go when the holder dies: a dead run's
lock never blocks. A remote one is guarded by a lease, see `lease`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.naming import naming
from .holder import log_taken_over, parse_holder, refusal, this_process

logger = logging.getLogger(__name__)
LOCK = "LOCK"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What `flock` says on a file system that has no locks."""

_held: set[int] = set()


def _let_go() -> None:
    """A forked child shares the parent's lock and could outlive it: it closes its copies at once."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def flocked(path: str, operation: int, flags: int = os.O_RDWR | os.O_CREAT) -> Iterator[int]:
    """Holds a kernel lock on a local file while the block runs. Gives its descriptor.

    Neither a child process nor a fork keeps it: Python opens with O_CLOEXEC, and forks close it.

    Args:
        path: the file.
        operation: LOCK_SH or LOCK_EX of `fcntl`, with LOCK_NB so as not to wait.
        flags: how to open it.

    Raises:
        BlockingIOError: if another holds it and LOCK_NB was given.
        FileNotFoundError: if it is not there, or was deleted or replaced while this waited.
        OSError: if it cannot be opened, or its file system has no locks (`NO_LOCKS`).
    """
    descriptor = os.open(path, flags, 0o644)
    _held.add(descriptor)
    try:
        fcntl.flock(descriptor, operation)
        if not is_same_file(descriptor, path):
            raise FileNotFoundError(errno.ENOENT, "Replaced while it was being locked", path)
        yield descriptor
    finally:
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def is_same_file(descriptor: int, path: str) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def hold(store: str, what: str) -> Iterator[Callable[[], None]]:
    """Makes this process the only writer on a store while the block runs.

    Args:
        store: folder of the store; a local one is made if it is not there.
        what: the command's name, for the message that another writer gets.

    Yields:
        A check to call before publishing: raises LookalikeError if the lock has been lost meanwhile, because
        someone deleted the lock file, or because a lease was not renewed for so long that another took it.

    Raises:
        LookalikeError: if another process is writing, naming it; if the file system has no locks.
        OSError: if the store cannot be written.
    """
    path = files.join(store, LOCK)
    holder = this_process(what)
    if files.is_remote(path):
        from .lease import Lease

        with Lease(path, holder).kept() as check:
            yield check
        return
    files.make_folder(os.path.dirname(path) or ".")
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(flocked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise refusal(path, parse_holder(files.read_bytes(path))) from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise LookalikeError(
                    f"Expected a file system with locks. Received: {path}: {error}"
                ) from None
            raise
        if left := os.pread(descriptor, 1 << 16, 0):
            log_taken_over(path, left)
        data = holder.to_json()
        with naming(path):
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))

        def check() -> None:
            if not is_same_file(descriptor, path):
                raise LookalikeError(f"The lock {path} was deleted while this run was writing; run it again")

        try:
            yield check
        finally:
            if os.getpid() == holder.pid:
                os.ftruncate(descriptor, 0)


@contextlib.contextmanager
def briefly(path: str, what: str) -> Iterator[None]:
    """Holds the lock file `path` for a change that takes milliseconds, after waiting for its turn.

    Raises:
        LookalikeError: for a URL, if its turn does not come for minutes.
        OSError: if the store cannot be written.
    """
    if files.is_remote(path):
        from .lease import Lease

        with Lease(path, this_process(what)).kept(patient=True):
            yield
        return
    files.make_folder(os.path.dirname(path) or ".")
    with flocked(path, fcntl.LOCK_EX):
        yield
