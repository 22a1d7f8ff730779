"""The command line: `lookalike`, or `python -m lookalike`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command; Ctrl-C is one sentence also while it is still being imported."""
    try:
        from .cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("lookalike: error: interrupted before any work", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
