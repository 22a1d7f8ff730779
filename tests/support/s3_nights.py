"""What children of `forks` do with a store on S3: run a command that is killed before its nth request that writes."""

from __future__ import annotations

import os
import signal
from typing import Any

from lookalike.filesystem import s3
from lookalike.store import lease
from tests.conftest import run
from tests.support import nights

WRITES = {"AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload", "DeleteObjects"}
WRITES |= {"PutObject", "UploadPart"}


def command(arguments: list[str], at: int | None = None) -> dict[str, Any]:
    """Runs a command line; None lets it come to its end. Returns its exit code, words and number of writes."""
    assert nights  # has imported everything
    lease.SETTLE_SECONDS = lease.DEAD_SECONDS = 0.0
    writes = 0

    def count(model: Any, **_: Any) -> None:
        nonlocal writes
        writes += model.name in WRITES
        if writes == at:
            os.kill(os.getpid(), signal.SIGKILL)

    s3.connections().meta.events.register("before-call.s3", count)
    done = run(*arguments)
    return {"code": done.code, "err": done.err, "writes": writes}
