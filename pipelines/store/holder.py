"""Who writes to a store, as its lock file tells."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import sys
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from lookalike.model.errors import LookalikeError

logger = logging.getLogger(__name__)


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
    except (ValueError, TypeError, RecursionError):
        return None


def refusal(path: str, holder: Holder | None) -> LookalikeError:
    """What the second writer is told."""
    who = f"{holder} ({holder.command})" if holder else "another process"
    return LookalikeError(f"Another run is writing to this store: {who} holds {path}. Wait for it, or end it")


def log_taken_over(path: str, data: bytes) -> None:
    """Logs that the lock at `path`, with content `data`, was left by a dead run."""
    logger.warning("took over %s, left by a run that died: %s", path, parse_holder(data) or "unknown")


def renewed(holder: Holder) -> Holder:
    """The same holder of a lease, alive at this moment."""
    return replace(holder, renewed=utc_now(), renewals=holder.renewals + 1)
