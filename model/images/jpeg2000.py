"""JPEG 2000 by OpenJPEG: through Pillow where that shows what the file says, through imagecodecs where it does not.

Pillow turns the usual colour spaces and subsampled components into RGB. But deep colour it rounds beyond 255, which
is 0; samples of fewer than 8 bits become dark; it takes components in the order they are stored in, the fourth of
a palette as nothing and inks with a profile as RGB and alpha; and colours shared by two pixels of a picture or tile of
odd size it looks for in the wrong rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import imports
from ..errors import ImageError
from . import formats, isobmff, tiff_colours
from .levels import AnyWindow, grey, ramp

_CODESTREAM = b"\xff\x4f\xff\x51"
_BOXES = (b"jp2c", b"jp2h", b"colr", b"pclr", b"cmap", b"cdef")
_CMYK, _CMYK_PROFILE = 12, int.from_bytes(b"CMYK", "big")
_NOT_READ = {
    **dict.fromkeys((1, 3, 4, 24), "a YCbCr other than sYCC"),
    **{9: "PhotoYCC", 11: "CMY", 13: "YCCK", 14: "CIELab", 19: "CIEJab"},
    int.from_bytes(b"Lab ", "big"): "CIELab",
}
"""Colour spaces (ITU-T T.801, table M.25) that OpenJPEG does not turn into RGB."""
_COLOUR, _ALPHA, _PREMULTIPLIED = 0, 1, 2
"""What a channel definition calls its channels."""

Depth = tuple[int, bool]
"""Bits of a sample, and whether it is signed."""


class Header(NamedTuple):
    """What a file says before its pixels.

    Attributes:
        width, height: of the picture.
        components: of each component the depth.
        steps: of each component, how many pixels across and down share one sample.
        is_even: whether the picture and its tiles begin and end where such samples do.
        space: the colour space by its number, or by the four letters of its ICC profile; 0 of a bare codestream.
        palette: the depth of its colours, if there is one.
        channels: kind and colour, from 1, of each channel, in order; empty if the file does not define them.
    """

    width: int
    height: int
    components: list[Depth]
    steps: list[tuple[int, int]]
    is_even: bool
    space: int = 0
    palette: Depth | None = None
    channels: tuple[tuple[int, int], ...] = ()

    @property
    def is_cmyk(self) -> bool:
        return self.space in (_CMYK, _CMYK_PROFILE)

    @property
    def colours(self) -> int:
        """How many of the channels are colours; 0 if the file does not define them."""
        return sum(kind == _COLOUR for kind, _ in self.channels)

    def kind_of_alpha(self) -> int | None:
        """One of the two kinds, if a channel is defined as alpha."""
        return next((kind for kind, _ in self.channels if kind in (_ALPHA, _PREMULTIPLIED)), None)

    def is_usual(self) -> bool:
        """Whether Pillow shows it rightly."""
        usual = [(_COLOUR, place + 1) for place in range(self.colours)]
        return (
            set(self.components) == {(8, False)}
            and self.is_even
            and not self.palette
            and self.space != _CMYK_PROFILE
            and list(self.channels) in (usual, [*usual, (_ALPHA, 0)])
        )


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode a JP2 file or a bare codestream: RGB, uint8 (height, width, 3)."""
    head = header(data)
    formats.check_size(head.width, head.height, max_pixels)
    _check_kind(head)
    if head.is_usual():
        # A number of 32 bits for each sample, and Pillow's picture.
        with formats.or_without_room(4 * (len(head.components) + 1) * head.width * head.height):
            return formats.by_pillow(data, max_pixels, window, "JPEG 2000")
    # The same, the colours that were shared for each pixel, and the result.
    with formats.or_without_room(7 * len(head.components) * head.width * head.height):
        samples = imports.codec("jpeg2k_decode")(data, numthreads=1)
    if head.colours and samples.ndim == 3:
        # OpenJPEG has put the colours in their order, and what is no colour behind them.
        samples = samples[..., : head.colours + (head.kind_of_alpha() is not None)]
    bits, signed = head.palette or head.components[0]
    low = -(2 ** (bits - 1)) if signed else 0
    if head.is_cmyk:
        levels = tiff_colours.from_cmyk(ramp(samples[..., :4], low, low + 2**bits - 1))
        return window.apply(levels) if window else levels
    if window and samples.shape[2:] in ((), (3,)):
        levels = window.apply(samples)
        return grey(levels) if levels.ndim == 2 else levels
    return formats.on_white_8_bit(
        ramp(samples, low, low + 2**bits - 1), window, premultiplied=head.kind_of_alpha() == _PREMULTIPLIED
    )


def _check_kind(head: Header) -> None:
    """Raises ImageError, by its name, for what OpenJPEG has no RGB of."""
    if what := _NOT_READ.get(head.space):
        raise ImageError(f"JPEG 2000 of {what}, which is not supported")
    if len(set(head.components)) > 1:
        raise ImageError(f"JPEG 2000 of components of {head.components} bits, which is not supported")
    if any(step != (1, 1) for step in head.steps) and (len(head.steps) != 3 or head.steps[0] != (1, 1)):
        raise ImageError(
            "JPEG 2000 of subsampled components that are not Y, Cb and Cr, which is not supported"
        )
    if not head.is_even and head.steps[-1] not in ((2, 1), (2, 2)):
        raise ImageError(
            f"JPEG 2000 of odd size with colours shared by {head.steps[-1]} pixels, which is not supported"
        )
    if head.is_cmyk and len(head.components) < 4:
        raise ImageError(f"JPEG 2000 of {len(head.components)} inks, which is not supported")


def header(data: bytes) -> Header:
    """Read the boxes before the codestream and its header (ITU-T T.800, A.5.1 and annex I.5.3).

    Raises:
        ImageError: there is no codestream.
    """
    start, inside = 0, dict[bytes, bytes]()
    if not data.startswith(_CODESTREAM):
        outside = _boxes(data, 0, len(data))
        start, _ = outside.get(b"jp2c", (len(data), 0))
        found = _boxes(data, *outside.get(b"jp2h", (0, 0)))
        inside = {kind: data[first:end] for kind, (first, end) in found.items()}
    siz = data[start + 4 : start + 4 + 38]
    if not data.startswith(_CODESTREAM, start) or len(siz) < 38:
        raise ImageError("JPEG 2000 cut short or corrupt: no codestream")
    right, bottom, left, top = (_number(siz[at : at + 4]) for at in (4, 8, 12, 16))
    described = data[start + 42 : start + 42 + 3 * _number(siz[36:38])]
    steps = list(zip(described[1::3], described[2::3], strict=False))
    edges = [_number(siz[at : at + 4]) for at in range(4, 36, 4)]  # across and down in turn
    return Header(
        right - left,
        bottom - top,
        [_depth(depth) for depth in described[::3]],
        steps,
        all(edge % max(1, step[at % 2]) == 0 for step in steps for at, edge in enumerate(edges)),
        _space(inside.get(b"colr", b"")),
        _depth(inside[b"pclr"][3]) if len(inside.get(b"pclr", b"")) > 3 and b"cmap" in inside else None,
        _channels(inside.get(b"cdef", b"")),
    )


def _boxes(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """First byte and end of the first box of each kind that is used."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, first, last in isobmff.boxes(data, start, end):
        if kind in _BOXES:
            found.setdefault(kind, (first, last))
    return found


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _depth(octet: int) -> Depth:
    return (octet & 127) + 1, octet > 127


def _space(colr: bytes) -> int:
    """Of a colour specification: by a number, or the colour space of an ICC profile (ICC.1:2022, 7.2.8)."""
    return _number(colr[3:7] if colr[:1] == b"\1" else colr[19:23])


def _channels(cdef: bytes) -> tuple[tuple[int, int], ...]:
    entries = sorted(
        tuple(_number(cdef[at + n : at + n + 2]) for n in (0, 2, 4)) for at in range(2, len(cdef) - 5, 6)
    )
    return tuple((kind, colour) for _, kind, colour in entries)
