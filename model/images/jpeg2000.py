"""JPEG 2000 by OpenJPEG: through Pillow where samples have 8 bits, through imagecodecs where they have not.

Pillow turns the usual colour spaces and subsampled components into RGB. But deep colour it rounds beyond 255, which
is 0, and samples of fewer than 8 bits become dark.
"""

from __future__ import annotations

import numpy as np

from .. import imports
from ..errors import ImageError
from . import formats, isobmff
from .levels import AnyWindow, ramp

_CODESTREAM = b"\xff\x4f\xff\x51"


def decode(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode a JP2 file or a bare codestream: RGB, uint8 (height, width, 3)."""
    width, height, components = size_of(data)
    formats.check_size(width, height, max_pixels)
    if all(component == (8, False) for component in components):
        # A number of 32 bits for each sample, and Pillow's picture.
        with formats.or_without_room(4 * (len(components) + 1) * width * height):
            return formats.by_pillow(data, max_pixels, window, "JPEG 2000")
    if len(set(components)) > 1:
        raise ImageError(f"JPEG 2000 of components of {components} bits, which is not supported")
    samples = imports.codec("jpeg2k_decode")(data, numthreads=1)
    bits, signed = components[0]
    if samples.dtype == np.uint8 and samples.ndim == 3 and len(components) == 1:
        bits = 8  # a palette has been applied
    low = -(2 ** (bits - 1)) if signed else 0
    if window and samples.shape[2:] in ((), (3,)):
        return formats.on_white_8_bit(window.apply(samples), None)
    return formats.on_white_8_bit(ramp(samples, low, low + 2**bits - 1), window)


def size_of(data: bytes) -> tuple[int, int, list[tuple[int, bool]]]:
    """Width, height, and of each component the bits and whether it is signed (ITU-T T.800, A.5.1).

    Raises:
        ImageError: there is no codestream.
    """
    start = 0
    if not data.startswith(_CODESTREAM):
        start = next((start for kind, start, _ in isobmff.boxes(data) if kind == b"jp2c"), len(data))
    siz = data[start + 4 : start + 4 + 38]
    if not data.startswith(_CODESTREAM, start) or len(siz) < 38:
        raise ImageError("JPEG 2000 cut short or corrupt: no codestream")
    right, bottom, left, top = (int.from_bytes(siz[at : at + 4], "big") for at in (4, 8, 12, 16))
    count = int.from_bytes(siz[36:38], "big")
    depths = data[start + 42 : start + 42 + 3 * count : 3]
    return right - left, bottom - top, [((depth & 127) + 1, depth > 127) for depth in depths]
