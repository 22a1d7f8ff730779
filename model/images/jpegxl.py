"""JPEG XL by libjxl, and its header: how large it is, and of how many bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import imports
from ..errors import ImageError
from . import formats, isobmff
from .levels import AnyWindow, ramp

_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode JPEG XL, of an animation the first frame: RGB, uint8 (height, width, 3).

    libjxl turns the picture as its codestream says.
    """
    head = header(data)
    formats.check_size(head.width, head.height, max_pixels)
    # A lossless picture is three numbers of 32 bits a pixel, and the result.
    with formats.or_without_room(16 * head.width * head.height):
        samples = imports.codec("jpegxl_decode")(data, index=0, numthreads=1)
    if samples.dtype.kind == "f":  # 0 to 1
        samples = np.rint(np.clip(np.nan_to_num(samples), 0, 1) * 65535).astype(np.uint16)
    elif head.bits not in (8, 16):
        samples = ramp(samples, 0, 2**head.bits - 1)
    return formats.on_white_8_bit(samples, window)


class Header(NamedTuple):
    """What a codestream says first: its size as shown but for its turn, and the bits of a sample of colour."""

    width: int
    height: int
    bits: int


class _Bits:
    """Numbers of ISO/IEC 18181-1, 6.2, the lowest bit of a byte first."""

    def __init__(self, data: bytes) -> None:
        self.rest = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value, self.rest = self.rest & ((1 << count) - 1), self.rest >> count
        return value

    def choice(self, *fields: tuple[int, int]) -> int:
        """One of four (bits, what is added)."""
        count, more = fields[self.take(2)]
        return self.take(count) + more

    def size(self, eighths: Callable[[], int], exact: Callable[[], int]) -> tuple[int, int]:
        side = eighths if self.take(1) else exact
        height = side()
        across, down = _RATIOS[ratio := self.take(3)]
        return (height * across // down if ratio else side()), height

    def picture(self) -> tuple[int, int]:
        """SizeHeader."""
        return self.size(
            lambda: 8 * (self.take(5) + 1), lambda: self.choice((9, 1), (13, 1), (18, 1), (30, 1))
        )

    def preview(self) -> tuple[int, int]:
        """PreviewHeader."""
        return self.size(
            lambda: 8 * self.choice((0, 16), (0, 32), (5, 1), (9, 33)),
            lambda: self.choice((6, 1), (8, 65), (10, 321), (12, 1345)),
        )


def header(data: bytes) -> Header:
    """Read the header of a file or a bare codestream (ISO/IEC 18181-1, D.2 and D.3).

    Raises:
        ImageError: there is no codestream.
    """
    start = 0
    if not data.startswith(b"\xff\x0a"):
        # In one box, or in several, each of which begins with its number.
        places: dict[bytes, int] = {}
        for kind, first, _ in isobmff.boxes(data):
            if kind in (b"jxlc", b"jxlp"):
                places.setdefault(kind, first + 4 * (kind == b"jxlp"))
        start = places.get(b"jxlc", places.get(b"jxlp", 0))
    if not data.startswith(b"\xff\x0a", start):
        raise ImageError("JPEG XL cut short or corrupt: no codestream")
    bits = _Bits(data[start + 2 : start + 80])
    width, height = bits.picture()
    if bits.take(1):  # all as usual
        return Header(width, height, 8)
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            bits.picture()  # how large it should be shown
        if bits.take(1):
            bits.preview()
        if bits.take(1):  # animation: ticks a second, loops, time codes
            bits.choice((0, 100), (0, 1000), (10, 1), (30, 1))
            bits.choice((0, 1), (0, 1001), (8, 1), (10, 1))
            bits.choice((0, 0), (3, 0), (16, 0), (32, 0))
            bits.take(1)
    if bits.take(1):  # floating point
        return Header(width, height, bits.choice((0, 32), (0, 16), (0, 24), (6, 1)))
    return Header(width, height, bits.choice((0, 8), (0, 10), (0, 12), (6, 1)))
