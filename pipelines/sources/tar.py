"""The members of a tar (ustar, pax, GNU) as a stream: in small memory, whatever its headers claim.

Python's `tarfile` takes twice as long a member, believes the length of a pax header or of a GNU long name, searches
pax headers in quadratic time, and takes a damaged header for the end of the archive. The format is that of POSIX
(https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html) and GNU
(https://www.gnu.org/software/tar/manual/html_node/Standard.html).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

MOST_HEADER = 1 << 20
"""Bytes of a pax header or a GNU long name that are read."""
MOST_NAME = 4096
"""Characters of a name, as Linux has it (PATH_MAX); of a longer one the end is kept, and its member is not read."""
_BLOCK = 512
_PIECE = 1 << 20
# name, size, checksum, type, magic, prefix
_HEADER = struct.Struct("100s24x12s12x8sc100x8s80x155s12x")
_SIGNED = struct.Struct("148b8x356b")
_GNU = b"ustar  \0"
"""The magic of a header that has times in the place of a prefix, as `tar --incremental` writes them."""
_OCTAL = re.compile(rb"[0-7]*")
_PAX_LENGTH = re.compile(rb"([0-9]{1,20}) ")
_FILES = (b"0", b"\0", b"7")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
_FOLDERS = (b"5", b"D", b"V")
"""Folders; those of GNU that have a list of their files; and the label of an archive, which is no more of a file."""
_SPARSE_PAX = b"GNU.sparse"
_PAX, _PAX_OF_ALL, _LONG_NAME, _LONG_LINK, _SPARSE = (b"x", b"X"), b"g", b"L", b"K", b"S"


class DamagedError(Exception):
    """What is wrong with an archive, behind which nothing can be read."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    Attributes:
        name: its path; bytes that are no UTF-8 as `os.fsdecode` gives them.
        kind: `file`, `folder` or `other`, whose content cannot be read.
        size: bytes of content in the archive.
        problem: why it cannot be read; empty for files and folders.
    """

    name: str
    kind: Literal["file", "folder", "other"]
    size: int
    problem: str = ""


class Tar:
    """An archive from its first byte on, to be gone through once.

    Args:
        file: the archive, unpacked.
        size: of the file, if content can be passed over by `seek`; None if that has to be read.

    Attributes:
        offset: where the next header is to be.
    """

    def __init__(self, file: IO[bytes], size: int | None = None) -> None:
        self.offset = 0
        self._file = file
        self._size = size
        self._at = 0
        self._of_all: dict[bytes, bytes] = {}
        self._unread = 0
        self._name = ""

    def __iter__(self) -> Iterator[Member]:
        """The members in order, up to the end mark. Raises DamagedError."""
        while (member := self._next()) is not None:
            yield member

    def check_end(self) -> None:
        """Raises DamagedError if anything but zeros stands behind the end mark."""
        while chunk := self._file.read(_PIECE):
            if chunk.count(0) != len(chunk):
                raise DamagedError("a block of zeros ends the archive, but data follow it,")

    def read(self, most: int | None = None) -> bytes:
        """The content of the member that was given last, from where it was read to; at most so many bytes.

        Raises:
            DamagedError: if the archive ends before.
        """
        wanted = self._unread if most is None else min(most, self._unread)
        data = self._file.read(wanted)
        self._at += len(data)
        self._unread -= len(data)
        if len(data) != wanted:
            raise self._cut()
        return data

    def _next(self) -> Member | None:
        """The next member; None at the end mark."""
        described = self._of_all
        long_name: bytes | None = None
        too_long = 0
        while True:
            self._skip_to(self.offset)
            block = self._file.read(_BLOCK)
            self._at += len(block)
            if block.count(0) == _BLOCK and described is self._of_all and long_name is None:
                return None
            field, size_field, type_, magic, prefix = _checked(block)
            size = _number(size_field)
            self.offset += _BLOCK
            if type_ not in (*_PAX, _PAX_OF_ALL, _LONG_NAME, _LONG_LINK):
                break
            self._started(_text(field), size)
            if size > MOST_HEADER:
                too_long = size
            elif type_ == _LONG_NAME:
                long_name = self.read()
            elif type_ == _PAX_OF_ALL:
                self._of_all = described = {**described, **_pax(self.read())}
            elif type_ in _PAX:
                described = {**described, **_pax(self.read())}
        name = _text(field)
        if prefix[0] and magic != _GNU:
            name = f"{_text(prefix)}/{name}"
        if long_name is not None:
            name = _text(long_name)
        # An empty value takes back what a header of all members says. A sparse file's path is made up.
        if path := described.get(b"GNU.sparse.name") or described.get(b"path"):
            name = path.decode("utf-8", "surrogateescape").rstrip("/")
        if b"size" in described:
            size = _number_of_pax(described[b"size"])
        if type_ == _SPARSE:
            self._skip_sparse_map(block)
        if type_ in _WITHOUT_CONTENT:
            size = 0
        length, name = len(name), name[-MOST_NAME:]  # its extension tells what it is
        self._started(name, size)
        if type_ in _FOLDERS or (type_ == b"\0" and name.endswith("/")):
            return Member(name.rstrip("/"), "folder", size)
        problem = ""
        if too_long:
            problem = f"has a header of {too_long:,} bytes, more than the {MOST_HEADER:,} that are read"
        elif length > MOST_NAME:
            problem = f"has a name of {length:,} characters, more than the {MOST_NAME:,} that are read"
        elif type_ == _SPARSE or any(key.startswith(_SPARSE_PAX) for key in described):
            problem = "is stored as a sparse file, which is not read: pack without --sparse"
        elif type_ not in _FILES:
            problem = "is a link or a special file, not an image"
        return Member(name, "other" if problem else "file", size, problem)

    def _started(self, name: str, size: int) -> None:
        self._name = name
        self._unread = size
        self.offset += -(-size // _BLOCK) * _BLOCK

    def _skip_sparse_map(self, block: bytes) -> None:
        more = block[482]
        while more:
            block = self._file.read(_BLOCK)
            self._at += len(block)
            self.offset += _BLOCK
            if len(block) < _BLOCK:
                raise _bad_header("truncated header")
            more = block[504]

    def _skip_to(self, offset: int) -> None:
        if self._size is not None:
            if offset > self._size:
                raise self._cut()
            if offset != self._at:
                self._at = self._file.seek(offset)
        while self._at < offset:
            skipped = len(self._file.read(min(offset - self._at, _PIECE)))
            self._at += skipped
            if not skipped:
                raise self._cut()

    def _cut(self) -> DamagedError:
        return DamagedError(f"the archive is cut in member {self._name!r}")


def _bad_header(why: str) -> DamagedError:
    return DamagedError(f"the archive is cut, or its next header is damaged ({why}),")


def _checked(block: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Name, size, type, magic and prefix as they stand in a header whose checksum is right."""
    if len(block) < _BLOCK:
        raise _bad_header("truncated header" if block else "no header")
    name, size, checksum, type_, magic, prefix = _HEADER.unpack(block)
    # Half a block at a time adds up to less than the 65,521 that Adler-32 counts to.
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    stored = _number(checksum)
    if stored != total - sum(checksum) + 8 * 32 and stored != sum(_SIGNED.unpack(block)) + 8 * 32:
        raise _bad_header("bad checksum")
    return name, size, type_, magic, prefix


def _number(field: bytes) -> int:
    """A number as a header stores it: octal digits, or, as GNU has it, 0x80 and bytes."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if not _OCTAL.fullmatch(digits):
        raise _bad_header("invalid header")
    return int(digits, 8) if digits else 0


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(data: bytes) -> dict[bytes, bytes]:
    """What counts of a pax header: path, size, and whether the content is sparse."""
    found: dict[bytes, bytes] = {}
    place = 0
    while place < len(data) and data[place]:
        length = _PAX_LENGTH.match(data, place)
        end = place + int(length[1]) if length else 0
        keyword, equals, value = data[length.end() : end - 1].partition(b"=") if length else (b"", b"", b"")
        if not equals or data[end - 1 : end] != b"\n":
            raise _bad_header("invalid pax header")
        if keyword in (b"path", b"size", b"GNU.sparse.name"):
            found[keyword] = value
        elif keyword.startswith(_SPARSE_PAX):
            found[_SPARSE_PAX] = b""  # one for all: headers of all members add up
        place = end
    return found


def _number_of_pax(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise _bad_header("invalid pax header")
    return int(value)
