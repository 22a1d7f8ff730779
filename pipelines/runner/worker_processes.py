"""The worker processes of Beam's direct runner: where one ends before its work does, so does the run, in a sentence.

Beam waits for ever for what a worker had not finished that was killed, for want of memory say.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from lookalike.model.errors import LookalikeError
from lookalike.model.imports import importing

from .watched import watched

LOOK_SECONDS = 1.0
"""From one look at the processes, while they work, to the next."""
_THREADS = ("run_worker", "beam_control_read", "read_grpc_client_inputs")
"""Names of Beam's threads that wait for a process; that it is gone they tell with a stack trace."""
_CLOSE_SECONDS = 5
"""For each of these threads to end once its process has."""


def run_with_worker_processes(run: Callable[[], None]) -> None:
    """Runs a pipeline to its end; when it is left, no worker process is.

    Args:
        run: of a pipeline whose workers are processes that Beam starts.

    Raises:
        LookalikeError: if one of them ended with an error.
        Exception: what `run` raised.
    """

    def look() -> None:
        ended = [code for process in processes if (code := process.poll())]
        if ended:
            raise LookalikeError(
                f"Expected worker processes to live until their work is done. Received: one that {_told(ended[0])}. "
                "Run the same command again: what is finished is kept"
            )

    with _started() as processes:
        watched(run, look, LOOK_SECONDS)


def _told(code: int) -> str:
    if code > 0:
        return f"ended with code {code}"
    want = ", often for want of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{want}"


@contextlib.contextmanager
def _started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Gives the processes that Beam starts within the block, and ends those that are left behind it."""
    with importing("Beam"):
        from apache_beam.runners.portability import local_job_service

    processes: list[subprocess.Popen[bytes]] = []

    def start(command: str, **options: Any) -> subprocess.Popen[bytes]:
        # Without `exec` the process is a shell, and the worker a child that would outlive it. Ctrl-C is for this
        # process, which ends them; they would tell of it with stack traces.
        process = subprocess.Popen(f"exec {command}", start_new_session=True, **options)
        processes.append(process)
        return process

    before = threading.excepthook

    def untold(args: threading.ExceptHookArgs) -> None:
        if not (args.thread and args.thread.name in _THREADS):
            before(args)

    vars(local_job_service)["subprocess"] = types.SimpleNamespace(Popen=start)
    threading.excepthook = untold
    try:
        yield processes
    finally:
        vars(local_job_service)["subprocess"] = subprocess
        for process in processes:
            process.kill()
        for thread in threading.enumerate():
            if thread.name in _THREADS:
                thread.join(_CLOSE_SECONDS)
        threading.excepthook = before
