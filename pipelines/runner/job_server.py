"""A pipeline on a job server of the portable protocol: waits for it to end, and tells in a sentence what went wrong."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

from .watched import watched

ANSWER_SECONDS = 20
"""To wait for an answer of a job server."""
LOOK_SECONDS = 10
"""From one look at a job server, while it works, to the next."""
_SILENT_LOOKS = 3
"""After so many without an answer it is lost."""
_JOB_SECONDS = 366 * 24 * 3600

logger = logging.getLogger(__name__)


def defaults() -> list[str]:
    """Flags that stand before the user's. Beam's timeout is one of the whole job, whatever its help says."""
    return [f"--job_server_timeout={_JOB_SECONDS}"]


def run_on_job_server(run: Callable[[], Any], endpoint: str | None) -> None:
    """Runs a pipeline to its end; one that is interrupted is cancelled there.

    Args:
        run: submits it; gives Beam's `PipelineResult`.
        endpoint: of the server; None where Beam starts one itself, or needs none.

    Raises:
        LookalikeError: if the server does not answer, or answers no more, or is lost.
        Exception: what Beam raised, with the stack trace of a worker as its text.
    """
    import grpc

    if endpoint:
        _require_answer(endpoint)
    submitted: list[Any] = []

    def work() -> None:
        submitted.append(run())
        submitted[0].wait_until_finish()

    with _without_stack_traces():
        try:
            if endpoint:
                watched(work, _look_at(endpoint), LOOK_SECONDS)
            else:
                work()
        except grpc.RpcError as error:
            raise LookalikeError(
                f"The job server{f' at {endpoint}' if endpoint else ''} was lost: {_details(error)}. "
                "Run the same command again: what is finished is kept"
            ) from None
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                submitted[0].cancel()
            raise


def warn_of_no_pool(address: str) -> None:
    """Warns if nobody listens where the job server is to find its workers (EXTERNAL), as a job would wait for them."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        logger.warning(
            "nothing listens at %s, where the job server is to find its workers (%s): unless it knows another machine "
            "by that name, the job waits until a worker pool is started there",
            address,
            error,
        )


def _look_at(endpoint: str) -> Callable[[], None]:
    """Gives what looks whether a job server answers, as Beam waits for a silent one for ever; it says so if not."""
    silent = 0

    def look() -> None:
        nonlocal silent
        if _answers(endpoint):
            silent = 0
            return
        silent += 1
        if silent == _SILENT_LOOKS:
            raise LookalikeError(
                f"The job server at {endpoint} was lost: it answers no more. Run the same command again: what is "
                "finished is kept"
            )
        logger.warning("the job server at %s does not answer", endpoint)

    return look


def _require_answer(endpoint: str) -> None:
    if not _answers(endpoint):
        raise LookalikeError(
            f"Expected a job server of Beam at {endpoint}. Received: no answer within {ANSWER_SECONDS} s"
        )


def _answers(endpoint: str) -> bool:
    import grpc

    # Without it the channel would be one with that of the job, which was ready once.
    own = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(endpoint, own) as channel:
        try:
            grpc.channel_ready_future(channel).result(ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


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
