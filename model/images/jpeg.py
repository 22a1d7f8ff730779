"""JPEG: its segments, walked; by TurboJPEG what that reads well, by others the rest.

Not every JPEG may go to TurboJPEG's reduced decoding: with a lossless one (SOF3) it writes past its buffer and ends
the process. So the header is read here first: which process, how many bits, components and scans.

TurboJPEG's strict mode is what notices a truncated or damaged file: it stops at libjpeg's first warning. Some
warnings speak of what is not pixels (`HARMLESS`); such a file is written anew without what they speak of, and read
strictly again, so that a harmless warning hides no other one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import simplejpeg

from .. import imports
from ..errors import ImageError
from . import codestreams, exif, formats
from .levels import AnyWindow, grey, ramp

HARMLESS = (
    "bad ICC marker",
    "extraneous bytes before marker",
    "unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
)
"""Of libjpeg's warnings (jerror.h, JWRN_), those of pictures whose pixels may be whole all the same."""
DAMAGE = (
    "bad arithmetic code",
    "bad Huffman code",
    "premature end of data segment",
    "Premature end of JPEG file",
    "instead of RST",
    "Inconsistent progression sequence",
    "Application transferred too many scanlines",
)
"""All the others: pixels are missing or wrong."""
MAX_SCANS = 100
"""Scans of a progressive file that is still read without a limit of time; encoders write some ten. A scan of a few
bytes can cost a pass over 100 million coefficients."""
_MAX_PADDING = 512
"""Bytes after the last block of a scan that are still padding: a sector of a camera's card."""

_SEQUENTIAL, _LOSSLESS, _JPEG_LS = (0, 1), 3, 55
_NOT_READ = {
    **dict.fromkeys((5, 6, 7, 13, 14, 15, 30), "hierarchical"),
    11: "lossless and arithmetic-coded",
}
_SOF = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xDE, 0xF7)
"""With DHP, 0xDE: the header of a hierarchy, whose first frame is a smaller picture of the usual kind (B.3.2)."""
_ALONE = (0x01, *range(0xD0, 0xD8))
_SOS = re.compile(rb"\xff\xda")
_DNL = b"\xff\xdc\0\4"


class Header(NamedTuple):
    """What a JPEG says before its first scan.

    Attributes:
        process: n of its SOFn marker (ITU-T T.81, table B.1; 30 is a hierarchy, 55 is JPEG-LS).
        bits: of a sample.
        width, height: as stored.
        components: how many.
        orientation: EXIF, 1 to 8.
        scan: where the first scan begins.
        is_height_late: whether its height is 0 in the frame and given behind the first scan (DNL).
    """

    process: int
    bits: int
    width: int
    height: int
    components: int
    orientation: int
    scan: int
    is_height_late: bool


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte behind it, and end of each segment up to the first SOS, as libjpeg sees them.

    Raises:
        ValueError: there is no scan within a million markers.
    """
    at = 2
    for _ in range(1_000_000):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0 or marker in _ALONE:
            at += 2
        else:
            start = at + 2
            at = start + (data[start] << 8 | data[start + 1])
            if at > len(data):
                break
            yield marker, start, at
            if marker == 0xDA:
                return
    raise ValueError("it ends before its pixels")


def header(data: bytes) -> Header:
    """What `data` says before its first scan.

    Raises:
        ValueError: there is no scan, or no frame before it.
    """
    frame, orientation, end = b"", 0, 0
    process = 0
    for marker, start, end in segments(data):
        if marker == 0xE1 and not orientation and data.startswith(b"Exif\0", start + 2):
            orientation = exif.orientation(data[start + 2 : end])
        elif marker in _SOF and not frame:
            process, frame = marker - 0xC0, data[start + 2 : start + 8]
    if not frame:
        raise ValueError("no frame before its pixels")
    bits, height, width, components = struct.unpack(">BHHB", frame)
    late = not height and (dnl := data.find(_DNL, end)) >= 0
    if late:
        height = int.from_bytes(data[dnl + 4 : dnl + 6], "big")
    return Header(process, bits, width, height, components, orientation or 1, end, late)


def is_common(data: bytes, head: Header) -> bool:
    """Whether TurboJPEG reads the file, at any size, safely and in a time that goes by its pixels."""
    return (
        head.process in (0, 1, 2)
        and head.bits == 8
        and head.components in (1, 3, 4)
        and (head.process != 2 or not _has_more_scans(data, head.scan))
    )


def is_sequential(head: Header) -> bool:
    """Whether it is Huffman-coded and has its pixels in one pass from the top to the bottom, if it is one scan."""
    return head.process in _SEQUENTIAL


def _has_more_scans(data: bytes, first: int) -> bool:
    """Whether there are more than `MAX_SCANS`; a third of the time that `bytes.count` takes."""
    return next(islice(_SOS.finditer(data, first), MAX_SCANS - 1, None), None) is not None


def decode(data: bytes, head: Header, factor: int = 1) -> np.ndarray | None:
    """Decode 8-bit JPEG by TurboJPEG, reduced to 1/`factor`: uint8 (height, width, 3), as stored.

    None if TurboJPEG has no name for its chroma subsampling.

    Raises:
        ValueError: it is cut short or damaged; the message is libjpeg's.
    """
    if head.is_height_late:
        at = next(start for marker, start, _ in segments(data) if marker in _SOF) + 3
        data = data[:at] + head.height.to_bytes(2, "big") + data[at + 2 :]
    try:
        return _turbo(data, head, factor)
    except ValueError as error:
        if "subsampling" in str(error):
            return None
        if not any(words in str(error) for words in HARMLESS):
            raise
    data = plain(data, head)
    head = header(data)
    try:
        return _turbo(data, head, factor)
    except ValueError as error:
        if not _is_padding(data, head, str(error)):
            raise
    return _turbo(data, head, factor, strict=False)


def _turbo(data: bytes, head: Header, factor: int, *, strict: bool = True) -> np.ndarray:
    return simplejpeg.decode_jpeg(
        data,
        "RGB",
        min_height=-(-head.height // factor),
        min_width=-(-head.width // factor),
        strict=strict,
    )


def plain(data: bytes, head: Header) -> bytes:
    """The same pixels without the segments that have nothing to do with them, and nothing between segments."""
    parts = [b"\xff\xd8"]
    for marker, start, end in segments(data):
        body = bytearray(data[start:end])
        if marker == 0xE0 and body[2:7] == b"JFIF\0":
            body[7:8] = b"\1"  # the revision
        elif marker == 0xEE and body[2:7] == b"Adobe" and len(body) >= 14:
            # libjpeg's own choice for transforms that do not exist: YCbCr or YCCK.
            usual = 2 if head.components == 4 else 1
            body[13] = body[13] if body[13] in (0, usual) else usual
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            continue
        elif marker == 0xDA and head.process in _SEQUENTIAL:
            body[-3:] = b"\0\x3f\0"  # which coefficients: all
        parts += [bytes((0xFF, marker)), bytes(body)]
    return b"".join([*parts, data[head.scan :]])


def _is_padding(data: bytes, head: Header, message: str) -> bool:
    """Whether libjpeg's complaint is of bytes that follow the last block of a scan, and are not a scan cut up."""
    found = re.search(r"(\d+) extraneous bytes before marker 0x(..)", message)
    end = data.find(b"\xff\xd9", head.scan)
    if not found or end < 0:
        return False
    length = int(found[1])
    # Where it is the end of the file that they precede, no warning can follow that this one hides.
    same = found[2] == "d9" and len(set(data[end - length : end])) == 1
    return length <= _MAX_PADDING or same


def decode_rare(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode any other JPEG, or JPEG-LS, by what reads it: upright RGB, uint8 (height, width, 3)."""
    head = header(data)
    formats.check_size(head.width, head.height, max_pixels)
    if what := _NOT_READ.get(head.process):
        raise ImageError(f"a {what} JPEG, which is not supported")
    if head.process == _LOSSLESS and head.components == 3 and _is_jfif(data):
        raise ImageError("a lossless JPEG of YCbCr, which is not supported")
    if head.components not in (1, 3, 4) or (head.components == 4 and head.bits != 8):
        raise ImageError(
            f"a JPEG of {head.components} components of {head.bits} bits, which is not supported"
        )
    if head.bits != 8 or head.process == _JPEG_LS:
        pixels = _deep(data, head, window)
    else:
        if head.process == _LOSSLESS:
            pixels = _lossless(data, head)
        else:
            whole = decode(data, head)
            pixels = _by_pillow(data, max_pixels) if whole is None else whole
            if whole is None:
                head = head._replace(orientation=1)  # Pillow's has been undone
        pixels = window.apply(pixels) if window else pixels
    return exif.upright(pixels, head.orientation)


def _is_jfif(data: bytes) -> bool:
    return any(
        marker == 0xE0 and data.startswith(b"JFIF\0", start + 2) for marker, start, _ in segments(data)
    )


def _by_pillow(data: bytes, max_pixels: int) -> np.ndarray:
    """Of any subsampling; Pillow does not notice what is missing before the end."""

    def read(jpeg: bytes) -> np.ndarray:
        return formats.by_pillow(jpeg, max_pixels, None, "JPEG")

    pixels = read(data)
    codestreams.check_is_whole(data, pixels, read)
    return pixels


def _lossless(data: bytes, head: Header) -> np.ndarray:
    """8 bits: never reduced, and without a conversion of colours, which libjpeg refuses."""
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}[head.components]
    if space == "CMYK":
        raise ImageError("a lossless CMYK JPEG, which is not supported")
    pixels = simplejpeg.decode_jpeg(data, space)
    return grey(pixels[..., 0]) if space == "GRAY" else pixels


def _deep(data: bytes, head: Header, window: AnyWindow | None) -> np.ndarray:
    # Where the end is missing too, both decoders fill in grey and say nothing.
    if data.find(b"\xff\xd9", head.scan) < 0:
        raise ValueError("it ends before its pixels")
    read = imports.codec("jpegls_decode" if head.process == _JPEG_LS else "jpeg8_decode")
    samples = read(data)
    codestreams.check_is_whole(data, samples, read)
    levels = window.apply(samples) if window else ramp(samples, 0, 2**head.bits - 1)
    return grey(levels) if levels.ndim == 2 else levels
