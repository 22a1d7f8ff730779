"""CCITT fax strips of a TIFF to bits, by libtiff through Pillow, and a refusal of what was not decoded.

Of Group 4, libtiff stops at a code that does not exist or at the end of the data, calls that a success, and leaves the
rest of the strip as its memory was. So each strip is decoded twice, in memory that was all white and in memory that was
all black, by strips of these in front of it. Where the last rows differ, they were not decoded. Of Group 3 it makes up
white rows: there the ends of lines are counted, of which each row has one.
"""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from ..errors import ImageError

NAMES = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
"""The compressions of TIFF, as Pillow calls them."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_LENGTHS, _T4_OPTIONS = 273, 278, 279, 292


class _Page(TiffImagePlugin.TiffImageFile):
    """A page without Pillow's own size limit, a global of the process."""

    def load_prepare(self) -> None:
        ImageFile.ImageFile.load_prepare(self)


@dataclass(frozen=True)
class Strip:
    """What is known of a strip before it is decoded.

    Attributes:
        width: pixels a row.
        rows: of the strip.
        compression: a key of `NAMES`.
        t4_options: the TIFF tag of that name, 0 where there is none.
    """

    width: int
    rows: int
    compression: int
    t4_options: int


def decode(data: bytes, strip: Strip) -> np.ndarray:
    """The bits of one strip, bool (rows, width); `data` has the first bit of each byte as its highest.

    Raises:
        ImageError: the strip does not hold its rows.
    """
    last = _behind(False, data, strip, 1)
    bits = _behind(True, data, strip, strip.rows)
    whole = np.array_equal(bits[-1:], last)
    if not whole or (strip.compression == 3 and _lines(data) < strip.rows):
        raise ImageError(f"TIFF cut short or corrupt: a fax strip holds less than its {strip.rows:,} rows")
    return bits


def _behind(bit: bool, data: bytes, strip: Strip, kept: int) -> np.ndarray:
    """The last `kept` rows of the strip, decoded in memory that was all `bit`."""
    tags = {
        _WIDTH: strip.width,
        _HEIGHT: 2 * strip.rows,
        _BITS: 1,
        _COMPRESSION: strip.compression,
        _PHOTOMETRIC: 1,
        _ROWS_PER_STRIP: strip.rows,
        _T4_OPTIONS: strip.t4_options,
    }
    both = _Page(io.BytesIO(_tiff(tags, [_uniform(bit, strip), data])))
    wanted = both.crop((0, 2 * strip.rows - kept, strip.width, 2 * strip.rows))
    del both  # before another copy is made
    return np.asarray(wanted)


def _lines(data: bytes) -> int:
    """Ends of line in Group 3 data, each 11 zeros or more and a one; the six in a row that end a page count as one."""
    ends, before = [], -1
    for start in range(0, len(data), 1 << 20):
        part = np.frombuffer(data, np.uint8, min(1 << 20, len(data) - start), start)
        ones = np.flatnonzero(np.unpackbits(part)) + 8 * start
        ends.append(ones[np.diff(ones, prepend=before) >= 12])
        before = ones[-1] if ones.size else before
    # Of two rows, the shorter is one bit, its end 12 and the mark of how it is coded 1.
    return int((np.diff(np.concatenate(ends), append=2**62) > 13).sum()) if ends else 0


def _tiff(tags: dict[int, int], strips: list[bytes]) -> bytes:
    """A TIFF file of one picture in two strips."""
    entries = [(tag, 1, value) for tag, value in tags.items()]
    behind = 8 + 2 + 12 * (len(entries) + 2) + 4
    lists = struct.pack("<2I", behind + 16, behind + 16 + len(strips[0])) + struct.pack(
        "<2I", *(len(strip) for strip in strips)
    )
    entries += [(_STRIP_OFFSETS, 2, behind), (_STRIP_LENGTHS, 2, behind + 8)]
    directory = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    return b"".join([head, lists, *strips])


@functools.lru_cache(8)
def _uniform(bit: bool, strip: Strip) -> bytes:
    """A strip that is all `bit`."""
    stream = io.BytesIO()
    picture = Image.new("1", (strip.width, strip.rows), int(bit))
    tags = {_ROWS_PER_STRIP: strip.rows, _PHOTOMETRIC: 1}
    if strip.compression == 3:
        tags[_T4_OPTIONS] = strip.t4_options
    picture.save(stream, "TIFF", compression=NAMES[strip.compression], tiffinfo=tags)
    stream.seek(0)
    written = TiffImagePlugin.TiffImageFile(stream)
    (offset,), (length,) = written.tag_v2[_STRIP_OFFSETS], written.tag_v2[_STRIP_LENGTHS]
    return stream.getvalue()[offset : offset + length]
