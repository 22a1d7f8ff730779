"""HEIC, AVIF and JPEG XL: by libheif, libavif and libjxl.

AVIF and HEIC say in boxes of the file how the decoded picture is cropped, turned and mirrored (ISO/IEC 23008-12, 6.5).
libheif does all of it. Of AVIF, Pillow returns what was decoded, and tells the turning as if it were EXIF's.
"""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pillow_heif
from PIL import AvifImagePlugin

from ..errors import ImageError
from . import exif, formats, isobmff
from .levels import AnyWindow


def heic(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode the main picture of a HEIC file. Its EXIF orientation does not count: the file turns it itself."""
    picture = pillow_heif.open_heif(data)[0]
    formats.check_size(*picture.size, max_pixels)
    samples = np.asarray(picture)
    return formats.on_white_8_bit(samples, window)


def avif(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode AVIF, of a sequence the first picture."""
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as picture:
        formats.check_size(*picture.size, max_pixels)
        pixels = formats.on_white_8_bit(np.asarray(picture), window)
        if crop := isobmff.clean_aperture(data):
            height, width = pixels.shape[:2]
            if not crop.is_within(width, height):
                raise ImageError(f"AVIF cut short or corrupt: {crop} is not within {width} x {height}")
            pixels = pixels[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        return exif.upright(pixels, formats.orientation_of(picture))


def jpeg_xl(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode JPEG XL, of an animation the first frame; libjxl turns it as its codestream says."""
    formats.check_size(*jpeg_xl_size(data), max_pixels)
    samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    if samples.dtype.kind == "f":  # 0 to 1
        samples = np.rint(np.clip(np.nan_to_num(samples), 0, 1) * 65535).astype(np.uint16)
    return formats.on_white_8_bit(samples, window)


# --- the header of JPEG XL


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """Width and height as its header gives them (ISO/IEC 18181-1, SizeHeader)."""
    if not data.startswith(b"\xff\x0a"):
        span = {kind: start + 4 * (kind == b"jxlp") for kind, start, _ in reversed(list(isobmff.boxes(data)))}
        start = span.get(b"jxlc", span.get(b"jxlp", 0))
        data = data[start : start + 16]
    if not data.startswith(b"\xff\x0a"):
        raise ImageError("JPEG XL cut short or corrupt: no codestream")
    bits = int.from_bytes(data[2:16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    across, down = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return (height * across // down if ratio else side()), height
