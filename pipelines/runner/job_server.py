"""A pipeline on a job server of the portable protocol: waits for it to end, and tells in a sentence what went wrong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from lookalike.model.errors import LookalikeError

ANSWER_SECONDS = 20
"""To wait for an answer of a job server; Beam's default is 5 minutes."""


def defaults() -> list[str]:
    """Flags that stand before the user's."""
    return [f"--job_server_timeout={ANSWER_SECONDS}"]


def run_on_job_server(run: Callable[[], Any], place: str) -> None:
    """Runs a pipeline to its end; one that is interrupted is cancelled there.

    Args:
        run: submits it; gives Beam's `PipelineResult`.
        place: of the server, for people.

    Raises:
        LookalikeError: if the server does not answer, or is lost.
        Exception: what Beam raised, with the stack trace of a worker as its text.
    """
    import grpc

    with _without_stack_traces():
        try:
            result = run()
        except (grpc.FutureTimeoutError, grpc.RpcError) as error:
            raise LookalikeError(
                f"Expected a job server of Beam at {place}, and an answer within {ANSWER_SECONDS} s. "
                f"Received: {_details(error)}"
            ) from None
        try:
            result.wait_until_finish()
        except grpc.RpcError as error:
            raise LookalikeError(
                f"The job server at {place} was lost: {_details(error)}. Run the same command again: what is finished "
                "is kept"
            ) from None
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                result.cancel()
            raise


def _details(error: Exception) -> str:
    details = getattr(error, "details", lambda: "none")
    return (str(details() or "none").strip().splitlines() or ["none"])[0]


@contextlib.contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Leaves out what Beam logs of a worker's error, and prints where the worker is this process (LOOPBACK).

    The same comes back as the error, and is told as such.
    """
    from apache_beam.runners.worker import sdk_worker

    def wanted(record: logging.LogRecord) -> bool:
        return (
            record.module != "portable_runner"
            or "Traceback (most recent call last)" not in record.getMessage()
        )

    root = logging.getLogger()
    root.addFilter(wanted)
    vars(sdk_worker)["print"] = lambda *_, **__: None
    try:
        yield
    finally:
        del vars(sdk_worker)["print"]
        root.removeFilter(wanted)
