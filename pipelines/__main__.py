"""The command line: `lookalike`, or `python -m lookalike`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Runs the command; Ctrl-C is one sentence also while it is still being imported.

    What is imported stays: looking through it for garbage, again and again and once more at the end, took a fifth of
    the time of a short command. Not so where there is DuckDB, which prints 48 lines about what was left behind.
    """
    try:
        _open_closed_streams()
        gc.disable()
        from .cli.main import main as run

        gc.freeze()
        gc.enable()
        run()
    except KeyboardInterrupt:
        print("lookalike: error: interrupted before any work", file=sys.stderr)
        sys.exit(130)
    finally:
        if "duckdb" not in sys.modules:
            gc.freeze()


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
