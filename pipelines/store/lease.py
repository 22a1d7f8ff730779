"""A lock for file systems that have none: an object that its holder renews, and that is dead when it stops.

Beam's file systems can neither create a file only if it is absent nor replace it only if it is unchanged. So:

- No clock is compared with another. A lease is alive if its content changes while one watches, and dead if it
  does not for `DEAD_SECONDS` of watching. A clock that is wrong or goes backwards changes nothing. The price:
  refusing takes up to `RENEW_SECONDS`, taking over a dead run's lease takes `DEAD_SECONDS`.
- Who takes a lease writes it, waits `SETTLE_SECONDS`, and has it if its own token is still there: of two that
  write at once, the last one has it. It fails only if one takes longer than that from reading to writing.
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
SETTLE_SECONDS = 5.0
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
            LookalikeError: if another is alive, or was faster.
        """
        self._await_free()
        self._write()
        self._wait(SETTLE_SECONDS)
        if not self.is_ours():
            raise refusal(self._path, parse_holder(self._read() or b""))

    def _await_free(self) -> None:
        seen, watched = self._read(), 0.0
        if seen is not None:
            logger.info(
                "%s is held by %s: watching whether it lives", self._path, parse_holder(seen) or "someone"
            )
        while seen is not None:
            if watched >= DEAD_SECONDS:
                log_taken_over(self._path, seen)
                return
            self._wait(SETTLE_SECONDS)
            watched += SETTLE_SECONDS
            now = self._read()
            if now is not None and now != seen:
                raise refusal(self._path, parse_holder(now))
            seen = now

    def is_ours(self) -> bool:
        """Whether the object still says that this process holds it. Raises OSError."""
        holder = parse_holder(self._read() or b"")
        return holder is not None and holder.token == self._holder.token

    def check(self) -> None:
        """Raises LookalikeError if another took the lease."""
        if not self.is_ours():
            other = parse_holder(self._read() or b"") or "another run, or deleted"
            raise LookalikeError(
                f"The lock {self._path} was lost to {other}: this run did not renew it for {DEAD_SECONDS:.0f} s"
            )

    def renew(self) -> bool:
        """Shows that the holder lives. Returns False if the lease is another's."""
        if not self.is_ours():
            return False
        self._write()
        return True

    def release(self) -> None:
        """Deletes the object, unless it is another's."""
        if self.is_ours():
            files.delete([self._path])

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
                self._wait(random.uniform(0, 2 * SETTLE_SECONDS))
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

    def _read(self) -> bytes | None:
        if not files.exists(self._path):
            return None
        try:
            return files.read_bytes(self._path)
        except OSError:
            if not files.exists(self._path):
                return None
            raise

    def _write(self) -> None:
        self._holder = renewed(self._holder)
        files.write_bytes(self._path, self._holder.to_json())
