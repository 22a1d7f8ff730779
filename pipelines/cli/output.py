"""The streams of a command: what cannot be written to standard output is told, and no work ends for want of a log."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO, cast

READER_LEFT = 141
"""What a shell makes of a program that SIGPIPE has ended, as it ends most in front of `| head`."""


class OutputError(Exception):
    """Standard output could not be written. No OSError: typer ends with 1 and without a word for one of a pipe.

    Args:
        error: what the system says.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"{os.strerror(error.errno or errno.EIO)}: standard output")
        self.reader_left = error.errno == errno.EPIPE


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error) from error


class _Errors(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def guard() -> None:
    """Makes `sys.stdout` raise `OutputError`, and `sys.stderr` nothing; call it before anything is printed."""
    before = cast(io.TextIOWrapper, sys.stdout)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(before.fileno(), "w", closefd=False)),
        before.encoding,
        before.errors,
        line_buffering=before.line_buffering or before.write_through,
    )
    sys.stderr = standard_error(sys.stderr.fileno(), sys.stderr.encoding, closefd=False)


def standard_error(descriptor: int, encoding: str, *, closefd: bool = True) -> TextIO:
    """A stream for people: what its file does not take, as the disk is full or the reader has left, is lost.

    Args:
        descriptor: of the file.
        encoding: of the text.
        closefd: whether the file is closed with the stream.
    """
    raw = _Errors(descriptor, "w", closefd=closefd)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)
