"""The command line: `lookalike`, or `python -m lookalike`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Runs the command; Ctrl-C is one sentence also while it is still being imported.

    What is imported stays: looking through it for garbage, again and again and once more at the end, took a fifth of
    the time of a short command. Not so where there is DuckDB, which prints 48 lines about what was left behind.
    """
    try:
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


if __name__ == "__main__":
    main()
