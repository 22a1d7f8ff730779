"""HEIC by libheif, AVIF by libavif.

AVIF and HEIC say in boxes of the file how the decoded picture is cropped, turned and mirrored (ISO/IEC 23008-12, 6.5).
libheif does all of it. Of AVIF, Pillow returns what was decoded, and tells the turning as if it were EXIF's.
"""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin

from ..errors import ImageError
from . import exif, formats, isobmff
from .levels import AnyWindow


def heic(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """Decode the main picture of a HEIC file. Its EXIF orientation does not count: the file turns it itself.

    A window is given 16 bits of what is deeper than 8.
    """
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=window is None)
    picture = file[file.primary_index]
    if 0 in picture.size:  # the box that says it must be there, and is not in all files
        picture.load()
    formats.check_size(*picture.size, max_pixels)
    return formats.on_white_8_bit(np.asarray(picture), window, premultiplied=picture.premultiplied_alpha)


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
