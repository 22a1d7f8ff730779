"""Text files that people write: UTF-8 or, with its byte order mark, UTF-16; lines end as on Unix or Windows."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from lookalike.model.errors import LookalikeError

from . import files

MOST_LINE = 1 << 20
"""Bytes of a line that are read: a file of zeros, however large, is one."""
MOST_HELD = 256 << 20
"""Bytes of a file in UTF-16, which is held in memory, and again in UTF-8; and of what comes through a pipe."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def as_utf8(data: bytes, path: str) -> bytes:
    """The content of a text file in UTF-8 and without a byte order mark; bytes that are no UTF-8 stay.

    Args:
        data: the content.
        path: for the sentence.

    Raises:
        LookalikeError: if the byte order mark is that of UTF-16, and the rest is not.
    """
    if data.startswith(_UTF16):
        try:
            data = data.decode("utf-16").encode("utf-8")
        except UnicodeError as error:
            raise LookalikeError(f"Expected text in UTF-8 or UTF-16 in {path}. Received: {error}") from None
    return data.removeprefix(codecs.BOM_UTF8)


@contextlib.contextmanager
def open_text(path: str) -> Iterator[BinaryIO]:
    """Opens a text file to be read as UTF-8, behind its byte order mark. One in UTF-16, or a pipe, is held in memory.

    Raises:
        LookalikeError: as `as_utf8`, or if what is held has more than `MOST_HELD` bytes.
        OSError: if the file cannot be read.
    """
    with files.open_read(path) as file:
        head = file.read(len(codecs.BOM_UTF8))
        if head.startswith(_UTF16) or not file.seekable():
            data = head + file.read(MOST_HELD)
            if len(data) > MOST_HELD:
                raise LookalikeError(
                    f"Expected at most {MOST_HELD:,} bytes of text in UTF-16 or through a pipe, or a file in UTF-8, in "
                    f"{path}. Received: more"
                )
            yield io.BytesIO(as_utf8(data, path))
        else:
            file.seek(len(head) if head == codecs.BOM_UTF8 else 0)
            yield file


def lines(path: str, most: int = MOST_LINE) -> Iterator[bytes]:
    """The lines of a text file as a stream, each as `as_utf8` gives it and without its end.

    Args:
        path: of the file.
        most: bytes of a line that are read.

    Raises:
        LookalikeError: as `open_text`, or if a line is longer than that.
        OSError: if the file cannot be read.
    """
    with open_text(path) as file:
        while line := file.readline(most + 1):
            if len(line) > most:
                raise LookalikeError(
                    f"Expected lines of at most {most:,} bytes in {path}. Received: a longer one"
                )
            yield line.rstrip(b"\r\n")
