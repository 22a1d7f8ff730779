"""JPEG and JPEG 2000 inside of other files: how large the picture is that they claim to hold, and JPEG to samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import simplejpeg

from .. import imports
from ..errors import ImageError

_JPEG_LS = 0xF7
_SOS = 0xDA
_JFIF = b"\xff\xe0\0\x10JFIF\0"
_IN_ONE_PASS = (0xC0, 0xC1, 0xC3)
"""Frames of Huffman codes that are not progressive: baseline, extended, lossless."""
_MORE = bytes(37 * n % 251 for n in range(1, 97))
"""Codes of no picture, without a marker among them."""


class JpegFrame(NamedTuple):
    """The frame header of a JPEG: ITU T.81, B.2.2.

    Attributes:
        start: where it begins.
        marker: the second byte of its marker; 0xC0 to 0xCF, or 0xF7 of JPEG-LS.
        bits: of a sample.
        height, width: in pixels.
        components: 1 of grey, 3 of colour, 4 of inks.
    """

    start: int
    marker: int
    bits: int
    height: int
    width: int
    components: int


def jpeg_frame(data: bytes) -> JpegFrame | None:
    """The frame header of a JPEG or JPEG-LS; None if there is none in front of the first scan."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 10 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker = data[at + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == _JPEG_LS:
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 5, at + 7))
            return JpegFrame(at, marker, data[at + 4], height, width, data[at + 9])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def jpeg_2000_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Height and width of a JPEG 2000 codestream, in boxes or without: ISO 15444-1, A.5.1. None if it has none."""
    head = re.search(rb"\xff\x4f\xff\x51....(.{4})(.{4})(.{4})(.{4})", data[:65536], re.DOTALL)
    if not head:
        return None
    right, bottom, left, top = (int.from_bytes(x, "big") for x in head.groups())
    return bottom - top, right - left


def decode_jpeg(data: bytes, frame: JpegFrame, transformed: bool | None) -> np.ndarray:
    """The samples of a JPEG of any kind, (height, width) or (height, width, components), uint8 or uint16.

    Args:
        data: the JPEG, with all its tables.
        frame: its header. Whether it is of a size that may be decoded is for the caller to see.
        transformed: whether three components are YCbCr, to become RGB; None believes the markers of the JPEG.

    Raises:
        ImageError or ValueError: the JPEG is cut short, or damaged where its decoder can tell.
    """
    if transformed is not None and frame.components > 2:
        # Whatever the JPEG says: libjpeg believes the Adobe marker that it meets last. Before that it believes JFIF,
        # which says YCbCr; of a lossless JPEG it could not convert that, and DCMTK calls all YBR of them so.
        if frame.marker == 0xC3:
            data = data[: frame.start].replace(_JFIF, _JFIF[:4] + b"none\0") + data[frame.start :]
        adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transformed])
        data = data[: frame.start] + adobe + data[frame.start :]
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}.get(frame.components)
    if frame.marker in (0xC0, 0xC1, 0xC2) and frame.bits == 8 and space:
        try:
            samples = simplejpeg.decode_jpeg(data, space)
            return samples[..., 0] if space == "GRAY" else samples
        except ValueError as error:
            if "subsampling" not in str(error):
                raise
    # Lossless, 12 bits, two components, odd subsampling: what TurboJPEG has no call for, and so no strict mode.
    _check_end(data)

    def read(jpeg: bytes) -> np.ndarray:
        return np.asarray(imports.codec("jpeg8_decode")(jpeg, outcolorspace=space))

    samples = read(data)
    check_is_whole(data, samples, read)
    return samples


def check_is_whole(data: bytes, samples: np.ndarray, read: Callable[[bytes], np.ndarray]) -> None:
    """Refuse a JPEG that has an end and not all of its blocks before it: without a strict mode libjpeg fills in grey.

    If there are more codes before the end, they are of no account where all blocks are there, and of some where they
    are not. That is seen of one scan of Huffman codes, and of the last of its intervals where these are restarted.

    Args:
        data: the JPEG.
        samples: what `read` makes of it.
        read: a decoder.

    Raises:
        ImageError: blocks are missing.
    """
    frame = jpeg_frame(data)
    if frame is None or frame.marker not in _IN_ONE_PASS:
        return
    at = frame.start
    while data[at + 1] != _SOS:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 5 > len(data) or data[at] != 0xFF:
            return
    end = data.find(b"\xff\xd9", at)
    if data[at + 4] != frame.components or end < 0:
        return
    while data[end - 1] == 0xFF:  # a marker may be filled up in front (T.81, B.1.1.2), as DCMTK's is
        end -= 1
    if not np.array_equal(samples, read(data[:end] + _MORE + data[end:])):
        raise ImageError("JPEG cut short or corrupt: it ends before its last block")


def decode_jpeg_ls(data: bytes) -> np.ndarray:
    """The samples of a JPEG-LS, (height, width) or (height, width, components), uint8 or uint16.

    Raises:
        ImageError or RuntimeError: it is cut short or damaged.
    """
    # On data that ended early CharLS was seen to spend 17 seconds.
    _check_end(data)
    return np.asarray(imports.codec("jpegls_decode")(data))


def _check_end(data: bytes) -> None:
    if b"\xff\xd9" not in data[-64:]:
        raise ImageError("JPEG cut short or corrupt: without its end")
