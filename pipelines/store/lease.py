"""A lock on an object store, which has none: an object that its holder renews, and that is dead when it stops.

- The object is written only if it is absent, or still what was read: of two that take it at once, one has it.
- No clock is compared with another. A lease is alive if its content changes while one watches, and dead if it
  does not for `DEAD_SECONDS` of watching. A clock that is wrong or goes backwards changes nothing. The price:
  refusing takes up to `RENEW_SECONDS`, taking over a dead run's lease takes `DEAD_SECONDS`.
- A holder that was suspended may find that another has the lease. Its `check` says so before it publishes. Were
  both to write all the same, they could only build the same artifacts twice: these are named by their content,
  and `CURRENT` is replaced in one step. Only what deletes (`prune`, `clean_up`) relies on the lease alone.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from .holder import Holder, log_taken_over, parse_holder, refusal, renewed

logger = logging.getLogger(__name__)
RENEW_SECONDS = 20.0
DEAD_SECONDS = 120.0
LOOK_SECONDS = 5.0
"""Between two looks at a lease that is held."""
_ATTEMPTS = 24


class Lease:
    """A lease on the object `path`.

    Args:
        path: URL of the object.
        holder: this process.
        wait: sleeps for some seconds.
    """

    def __init__(self, path: str, holder: Holder, wait: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._holder = replace(holder, token=uuid.uuid4().hex)
        self._wait = wait

    def take(self) -> None:
        """Takes the lease when it is free or its holder dead.

        Raises:
            LookalikeError: if another is alive, or was faster; if the store cannot keep a lease.
            OSError: if the store cannot be asked.
        """
        seen, watched = None, 0.0
        while True:
            now = self._read()
            if now is None:
                if self._create():
                    return
            elif self._is_mine(now[0]):  # the answer to its creation was lost
                return
            elif seen not in (None, now):
                raise refusal(self._path, parse_holder(now[0]))
            elif watched >= DEAD_SECONDS:
                self._take_over(*now)
                return
            elif seen is None:
                other = parse_holder(now[0]) or "someone"
                logger.info("%s is held by %s: watching whether it lives", self._path, other)
                seen = now
            self._wait(LOOK_SECONDS)
            watched += LOOK_SECONDS

    def _create(self) -> bool:
        data = self._renewed()
        if not files.create_bytes(self._path, data):
            return False
        # There are servers that take no notice of the condition.
        if files.create_bytes(self._path, data):
            files.delete_files([self._path])
            raise LookalikeError(
                f"Expected an object store that writes an object only if it is absent (If-None-Match), which a lock "
                f"needs. Received one that wrote it twice: {self._path}"
            )
        return True

    def _take_over(self, data: bytes, version: files.Version) -> None:
        if not files.replace_bytes(self._path, self._renewed(), version):
            now = self._read()
            raise refusal(self._path, parse_holder(now[0]) if now else None)
        log_taken_over(self._path, data)

    def _is_mine(self, data: bytes) -> bool:
        holder = parse_holder(data)
        return holder is not None and holder.token == self._holder.token

    def is_ours(self) -> bool:
        """Whether the object still says that this process holds it. Raises OSError."""
        now = self._read()
        return now is not None and self._is_mine(now[0])

    def check(self) -> None:
        """Raises LookalikeError if another took the lease."""
        now = self._read()
        if now is None or not self._is_mine(now[0]):
            other = (now and parse_holder(now[0])) or "another run, or deleted"
            raise LookalikeError(
                f"The lock {self._path} was lost to {other}: this run did not renew it for {DEAD_SECONDS:.0f} s"
            )

    def renew(self) -> bool:
        """Shows that the holder lives. Returns False if the lease is another's."""
        now = self._read()
        if now is None or not self._is_mine(now[0]):
            return False
        # A store may have done what it then failed to confirm, and refuse the repetition.
        return files.replace_bytes(self._path, self._renewed(), now[1]) or self.is_ours()

    def release(self) -> None:
        """Deletes the object, unless it is another's."""
        if self.is_ours():
            files.delete_files([self._path])

    @contextlib.contextmanager
    def kept(self, patient: bool = False) -> Iterator[Callable[[], None]]:
        """Takes the lease, renews it in the background while the block runs, and releases it. Gives `check`.

        Args:
            patient: try for minutes instead of refusing.

        Raises:
            LookalikeError: as `take`.
        """
        for attempt in range(_ATTEMPTS if patient else 1):
            if attempt:
                self._wait(random.uniform(0, 2 * LOOK_SECONDS))
            try:
                self.take()
                break
            except LookalikeError as error:
                refused = error
        else:
            raise refused
        stop = threading.Event()
        thread = threading.Thread(target=self._keep, args=(stop,), daemon=True, name="lease")
        thread.start()
        try:
            yield self.check
        finally:
            stop.set()
            thread.join()
            with contextlib.suppress(Exception):  # to others it is dead soon, whatever the file system said
                self.release()

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_SECONDS):
            try:
                if not self.renew():
                    logger.warning("the lock %s was lost; this run will publish nothing", self._path)
                    return
            except Exception as error:  # whatever a remote file system raises: the next time may succeed
                logger.warning("the lock %s could not be renewed: %s", self._path, error)

    def _read(self) -> tuple[bytes, files.Version] | None:
        try:
            return files.read_version(self._path)
        except FileNotFoundError:
            return None

    def _renewed(self) -> bytes:
        self._holder = renewed(self._holder)
        return self._holder.to_json()
