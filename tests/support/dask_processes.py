"""A Dask scheduler and workers on loopback, each a process of its own that ends with the one that started it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

SECONDS = 60
"""For a process to start."""
ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
"""Before a command: it ends when the thread that started it does. (By `preexec_fn`, Python forks; gRPC's threads, if
this process has any, make that a crash.)"""


class DaskProcesses:
    """A cluster. Use it as a context manager.

    Args:
        folder: for the scheduler's file, and for a log and a working folder of each process.
        workers: to start at once.
        environment: of all processes, besides this one's.
        preload: a module that workers import as they start.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        environment: Mapping[str, str] | None = None,
        preload: str | None = None,
    ) -> None:
        self._folder = folder
        self._preload = ["--preload", preload] if preload else []
        self._environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | dict(environment or {})
        self._processes: list[subprocess.Popen[bytes]] = []
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        self.address = self._address()
        self.workers = [self.add_worker() for _ in range(workers)]

    @property
    def flags(self) -> list[str]:
        """By which a job runs on it."""
        return ["--runner=dask", f"--dask_client_address={self.address}"]

    def add_worker(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a worker of one thread, in a working folder of its own."""
        options = ("--no-nanny", "--nthreads", "1", "--memory-limit", "0")
        return self._start("worker", self.address, *options, *self._preload, environment=environment)

    def _start(
        self, kind: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        name = f"{kind}-{len(self._processes)}"
        here = self._folder / name
        here.mkdir(parents=True)
        dask = (sys.executable, "-m", "dask", kind, *arguments, "--host", "127.0.0.1", "--no-dashboard")
        with open(self._folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [*ENDS_WITH_PARENT, *dask],
                cwd=here,
                env=self._environment | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def _address(self) -> str:
        """The scheduler's, when it has written its file."""
        end = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError):
                return json.loads(self.file.read_text())["address"]
            assert time.monotonic() < end, self.logs
            assert self.scheduler.poll() is None, self.logs
            time.sleep(0.05)

    @property
    def logs(self) -> str:
        """What the processes wrote."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def __enter__(self) -> DaskProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
