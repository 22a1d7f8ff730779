"""The command line: `lookalike`, or `python -m lookalike`."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys

_SPIN = "20"
"""A thread of OpenBLAS that waits for work spins for two to the power of this many clock ticks before it sleeps."""


def main() -> None:
    """Runs the command; Ctrl-C is one sentence also while it is still being imported.

    What is imported stays: looking through it for garbage, again and again, took a tenth of the time of a short
    command, and so did taking it apart at the end.

    OpenBLAS comes with NumPy and with OpenCV. Left alone, each one's idle threads spin for a tenth of a second once
    they have started, on the cores that embedding begins with.
    """
    ended = list[int]()
    # What is registered first is called last, when all else has been closed.
    atexit.register(_leave, ended)
    try:
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", _SPIN)
        _open_closed_streams()
        gc.disable()
        from .cli.main import main as run

        gc.freeze()
        gc.enable()
        run()
        ended.append(0)
    except KeyboardInterrupt:
        print("lookalike: error: interrupted before any work", file=sys.stderr)
        sys.exit(130)
    except SystemExit as stop:
        if isinstance(stop.code, int | None):
            ended.append(stop.code or 0)
        raise


def _leave(ended: list[int]) -> None:
    """Ends this process at once with the code that its command ended with; without one, Python ends it.

    That code stands also where the streams cannot be written: Python would make it 120.
    """
    if not ended:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(ended[0])


def _open_closed_streams() -> None:
    """Opens those of the three streams that are closed (`2>&-`), so that no other file gets the number of one."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(opened := os.open(os.devnull, os.O_RDWR), number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
