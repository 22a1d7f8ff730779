"""Hides what native libraries print on file descriptor 2, past Python's logging."""

from __future__ import annotations

import os
import sys


class quiet:
    """Context in which this process's file descriptor 2 leads nowhere."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._saved, self._null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._null, 2)

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        os.close(self._saved)
        os.close(self._null)
