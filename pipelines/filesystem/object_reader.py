"""An object as a file that is read: one and the same object throughout, in few requests."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from obstore import exceptions

from .listing import FileInfo
from .objects import info_of, open_object
from .store_errors import named

AHEAD = 1 << 20
"""Bytes that a request brings at least, and pieces in which a stream is read."""
_NOTHING = ("status code: 416", "non-partial response")


class ObjectReader(io.BufferedIOBase):
    """An object of a store; nothing is asked before the first read.

    Who reads on gets one stream to the end of the object, of which nothing is read ahead but what the system buffers.
    After a jump a request brings just what is wanted, so that the foot of a table and its columns cost one each; a
    table that is smaller than `AHEAD` costs one in all.
    What is read was the same object at all times; an object that was replaced meanwhile is an OSError, ESTALE.

    Args:
        url: of the object.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._store, self._key = open_object(url)
        self._info: FileInfo | None = None
        self._etag: str | None = None
        self._stream: Iterator[bytes] | None = None
        self._read_to = 0
        """Where what was fetched last ended: who goes on there reads on."""
        self._piece = b""
        self._start = 0
        self._at = 0
        """The position is `_start + _at`: in, or right behind, the piece that begins at `_start`."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._start + self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell()}.get(whence)
        target = (self.info().size if base is None else base) + offset
        if target < 0:
            raise ValueError(f"Expected a position of 0 or more. Received: {target}")
        if self._start <= target <= self._start + len(self._piece):
            self._at = target - self._start
        else:
            self._piece, self._start, self._at = b"", target, 0
        return target

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if size is None or size < 0:
            size = 1 << 62
        first = self._take(size)
        if len(first) == size or not self._fetch(size - len(first)):
            return first
        pieces = [first, self._take(size - len(first))]
        missing = size - len(first) - len(pieces[1])
        while missing and self._fetch(missing):
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        return self._take(size if size >= 0 else AHEAD) if self.peek() else b""

    def peek(self, size: int = 0, /) -> bytes:
        """What is there of the next bytes; at least one, if there are more."""
        if self._at == len(self._piece):
            self._fetch(AHEAD)
        return self._piece[self._at :]

    def close(self) -> None:
        self._stream, self._piece = None, b""
        super().close()

    def _take(self, size: int) -> bytes:
        taken = self._piece[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def info(self) -> FileInfo:
        """The object that is read, as it is listed. Raises OSError."""
        if self._info is None:
            with named(self._url):
                position, first = self.tell(), self._first()
            self._piece, self._start, self._read_to = first, 0, len(first)
            self.seek(position)
        assert self._info is not None
        return self._info

    def _first(self) -> bytes:
        """The beginning, of a small object all of it, which costs no more than to ask for the size."""
        try:
            return bytes(self._get({"range": (0, AHEAD)}).bytes())
        except exceptions.GenericError as error:
            # So stores tell that there is nothing to be had of an empty one.
            if not any(sign in str(error) for sign in _NOTHING) or self._is(self._store.head(self._key)).size:
                raise
            return b""

    def _is(self, found: Any) -> FileInfo:
        self._info, self._etag = info_of(self._url, found), found["e_tag"]
        return self._info

    def _fetch(self, wanted: int) -> bool:
        """Has the next piece, which begins where the last one ends; False at the end of the object."""
        at = self._start + len(self._piece)
        with named(self._url):
            piece = self._next(at, wanted)
        self._piece, self._start, self._at = piece, at, 0
        self._read_to = at + len(piece)
        return bool(piece)

    def _next(self, at: int, wanted: int) -> bytes:
        if self._info is not None and at >= self._info.size:
            return b""
        if at != self._read_to:
            self._stream = None
            # All that is left, if the reader wants the rest.
            end = min(at + max(wanted, AHEAD), self.info().size)
            return bytes(self._get({"range": (at, end)}).bytes()) if at < end else b""
        try:
            return self._read_on(at)
        except Exception:  # the connection broke: once more from here, if it is the same object
            if self._stream is None:
                raise
            self._stream = None
            return self._read_on(at)

    def _read_on(self, at: int) -> bytes:
        if self._stream is None:
            self._stream = self._get({"range": {"offset": at}} if at else {}).stream(AHEAD)
        piece = next(self._stream, b"")
        if not piece and at != self.info().size:
            raise OSError(f"the answer ended after {at:,} of {self.info().size:,} bytes")
        return piece

    def _get(self, options: dict[str, Any]) -> Any:
        if self._etag is not None:
            options["if_match"] = self._etag
        found = self._store.get(self._key, options=options)
        self._is(found.meta)
        return found
