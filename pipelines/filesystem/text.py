"""Text files that people write: UTF-8 or, with its byte order mark, UTF-16; lines end as on Unix or Windows."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from lookalike.model.errors import LookalikeError

from . import files

MOST_LINE = 1 << 20
"""Bytes of a line that are read: a file of zeros, however large, is one."""
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


def lines(path: str) -> Iterator[bytes]:
    """The lines of a text file as a stream, each as `as_utf8` gives it and without its end.

    Raises:
        LookalikeError: as `as_utf8`, or if a line is longer than `MOST_LINE`.
        OSError: if the file cannot be read.
    """
    with files.open_read(path) as file:
        head = file.read(len(codecs.BOM_UTF8))
        file.seek(len(head) if head == codecs.BOM_UTF8 else 0)
        if head.startswith(_UTF16):
            found: Iterable[bytes] = as_utf8(file.read(), path).split(b"\n")
        else:
            found = iter(lambda: file.readline(MOST_LINE + 1), b"")
        for line in found:
            if len(line) > MOST_LINE:
                raise LookalikeError(
                    f"Expected lines of at most {MOST_LINE:,} bytes in {path}. Received: a longer one"
                )
            yield line.rstrip(b"\r\n")
