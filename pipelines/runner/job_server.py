"""A pipeline on a job server of the portable protocol: waits for it to end, and tells in a sentence what went wrong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

ANSWER_SECONDS = 20
"""To wait for an answer of a job server."""
_JOB_SECONDS = 366 * 24 * 3600


def defaults() -> list[str]:
    """Flags that stand before the user's. Beam's timeout is one of the whole job, whatever its help says."""
    return [f"--job_server_timeout={_JOB_SECONDS}"]


def run_on_job_server(run: Callable[[], Any], endpoint: str | None) -> None:
    """Runs a pipeline to its end; one that is interrupted is cancelled there.

    Args:
        run: submits it; gives Beam's `PipelineResult`.
        endpoint: of the server; None where Beam starts one itself, or needs none.

    Raises:
        LookalikeError: if the server does not answer, or is lost.
        Exception: what Beam raised, with the stack trace of a worker as its text.
    """
    import grpc

    if endpoint:
        _require_answer(endpoint)
    with _without_stack_traces():
        try:
            result = run()
            result.wait_until_finish()
        except grpc.RpcError as error:
            raise LookalikeError(
                f"The job server{f' at {endpoint}' if endpoint else ''} was lost: {_details(error)}. "
                "Run the same command again: what is finished is kept"
            ) from None
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                result.cancel()
            raise


def _require_answer(endpoint: str) -> None:
    import grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            raise LookalikeError(
                f"Expected a job server of Beam at {endpoint}. Received: no answer within {ANSWER_SECONDS} s"
            ) from None


def _details(error: Any) -> str:
    return (str(error.details()).strip().splitlines() or ["no reason"])[0]


@contextlib.contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Leaves out what Beam logs of a worker's error, and prints where the worker is this process (LOOPBACK).

    The same comes back as the error, and is told as such.
    """
    with importing("Beam"):
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
