"""One writer on a store at a time; what a dead one left behind is recognised and cleaned up.

A local store is guarded by the kernel (`flock` on STORE/LOCK), which lets go when the holder dies: a dead run's
lock never blocks. A remote one is guarded by a lease, see `leases`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..runner import progress
from .generation import CURRENT

logger = logging.getLogger(__name__)
LOCK = "LOCK"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What `flock` says on a file system that has no locks."""
_OURS = ("embeddings", "indexes", "generations", "reports")

_held: set[int] = set()


def _let_go() -> None:
    """A forked child shares the parent's lock and could outlive it: it closes its copies at once."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@dataclass(frozen=True)
class Holder:
    """Who writes to a store, as the lock file tells.

    Attributes:
        what: the command's name, such as `nightly`.
        host, pid: where it runs.
        since: when it started, ISO 8601 in UTC.
        command: the whole command line.
        token: of a lease, unlike any other's; empty for a local store.
        renewed: when a lease was renewed last, ISO 8601 in UTC: for people, never compared with a clock.
        renewals: how often it was; a lease that lives is seen by this growing.
    """

    what: str
    host: str
    pid: int
    since: str
    command: str
    token: str = ""
    renewed: str = ""
    renewals: int = 0

    def __str__(self) -> str:
        return f"lookalike {self.what} on host {self.host}, process {self.pid}, since {self.since}"

    def to_json(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def this_process(what: str) -> Holder:
    """The holder that this process is."""
    return Holder(what, socket.gethostname(), os.getpid(), utc_now(), shlex.join(sys.argv))


def utc_now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def parse_holder(data: bytes) -> Holder | None:
    """The holder that a lock file names; None for one that is empty or unreadable."""
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


def refusal(path: str, holder: Holder | None) -> LookalikeError:
    """What the second writer is told."""
    who = f"{holder} ({holder.command})" if holder else "another process"
    return LookalikeError(f"Another run is writing to this store: {who} holds {path}. Wait for it, or end it")


def log_taken_over(path: str, data: bytes) -> None:
    """Logs that the lock at `path`, with content `data`, was left by a dead run."""
    logger.warning("took over %s, left by a run that died: %s", path, parse_holder(data) or "unknown")


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
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
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
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with flocked(path, fcntl.LOCK_EX):
        yield


@dataclass(frozen=True)
class CleanedUp:
    """What was deleted: number of files, and their bytes."""

    files: int
    bytes: int


def clean_up(store: str) -> CleanedUp:
    """Deletes what dead runs left: unfinished files and folders, and notes of progress.

    Call it under `hold`, before a run starts workers. Workers of a dead run that still live fail at renaming
    what is gone, and publish nothing. On a URL nothing unfinished is visible but the notes.

    Returns:
        How much it was; logged if it was anything.
    """
    leftovers = [*_unfinished(store), progress.runs_folder(store)]
    sizes = [size for path in leftovers for size in _sizes(path)]
    files.delete(leftovers)
    if sizes:
        megabytes = sum(sizes) / 1e6
        logger.info("deleted what an interrupted run left: %s files, %.1f MB", f"{len(sizes):,}", megabytes)
    return CleanedUp(len(sizes), sum(sizes))


def _unfinished(store: str) -> Iterator[str]:
    """Unfinished files and folders of a local store, all of which begin with a dot; folders of nothing else."""
    if files.is_remote(store):
        return
    root = os.path.dirname(files.join(store, CURRENT))
    with contextlib.suppress(FileNotFoundError):
        yield from (
            e.path for e in os.scandir(root or ".") if e.name.startswith(f".{CURRENT}{files.TEMPORARY}")
        )
    for ours in _OURS:
        for folder, folders, names in os.walk(os.path.join(root, ours)):
            found = [n for n in (*folders, *names) if n.startswith(".") and files.TEMPORARY in n]
            folders[:] = set(folders).difference(found)
            if folder != os.path.join(root, ours) and not folders and set(names) <= set(found):
                yield folder
            else:
                yield from (os.path.join(folder, name) for name in found)


def _sizes(path: str) -> Iterator[int]:
    """Bytes of a file, or of every file in a folder, unfinished or not."""
    if files.is_remote(path):
        yield from (file.size for file in files.list_files(path))
    elif os.path.isfile(path):
        yield os.path.getsize(path)
    for folder, _, names in os.walk(path):
        yield from (os.lstat(os.path.join(folder, name)).st_size for name in names)


def renewed(holder: Holder) -> Holder:
    """The same holder of a lease, alive at this moment."""
    return replace(holder, renewed=utc_now(), renewals=holder.renewals + 1)
