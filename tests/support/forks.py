"""Processes that start in milliseconds: forks of one that has imported everything and run nothing.

Importing TensorFlow, Beam and ScaNN takes 5 s. A fork has it all at once, and is safe only while its parent has a
single thread, for a lock that another thread held would stay locked: so the parent is told to start none, it
checks that it has none, and it is a process of its own, for pytest's has threads.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60
"""A child that takes longer hangs: it writes where its threads are, and is killed."""
_QUIET = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Environment of the parent, which would start threads or talk without it."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        signal: that killed it, or 0.
        value: what its function returned, by way of JSON; None if it was killed.
        seconds: from its start.
        log: what it wrote.
    """

    signal: int
    value: Any
    seconds: float
    log: str


class Forks:
    """The parent of the children. Close it.

    Args:
        module: its functions are what children run; imported before the forks.
        folder: where the children are.
    """

    def __init__(self, module: str, folder: Path) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        self._parent = subprocess.Popen(
            [sys.executable, __file__, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | _QUIET | {"PYTHONPATH": path},
        )

    def call(
        self, function: str, folder: Path, *, kill_after: float | None = None, **arguments: Any
    ) -> Ended:
        """Runs a function of the module in a child.

        Args:
            function: its name.
            folder: for the child's log and result; must exist.
            kill_after: seconds until it is killed; None leaves it alone.
            arguments: for the function, by way of JSON.
        """
        request = {"function": function, "folder": str(folder), "kill_after": kill_after}
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request | {"arguments": arguments}) + "\n")
        self._parent.stdin.flush()
        answer = self._parent.stdout.readline()
        assert answer, "the parent of the forks died"
        return Ended(**json.loads(answer))

    def close(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait()


def _serve(name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module = importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork of a process with threads is not safe"
    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request["folder"])
        started = time.monotonic()
        child = os.fork()
        if not child:
            _run(getattr(module, request["function"]), folder, request["arguments"])
        if request["kill_after"] is not None:
            time.sleep(request["kill_after"])
            os.kill(child, signal.SIGKILL)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status := os.waitpid(child, 0)[1]) else 0
        result = folder / "value.json"
        ended = {
            "signal": ended_by,
            "value": json.loads(result.read_bytes()) if result.exists() and not ended_by else None,
            "seconds": time.monotonic() - started,
            "log": (folder / "log").read_text(errors="replace") if (folder / "log").exists() else "",
        }
        result.unlink(missing_ok=True)
        answers.write(json.dumps(ended) + "\n")
        answers.flush()


def _run(function: Any, folder: Path, arguments: dict[str, Any]) -> None:
    """Ends the process with what the function did. Nothing that the parent has registered for its end may run."""
    try:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.dump_traceback_later(SECONDS - 5, file=log)
        signal.alarm(SECONDS)
        value = function(**arguments)
        (folder / "value.json").write_text(json.dumps(value))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
