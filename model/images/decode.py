"""Image bytes to RGB pixels: one function for every format, with a reason for every picture it cannot read.

A format is told by its bytes, never by a name. Only OpenEXR imports TensorFlow, when it occurs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL.Image import DecompressionBombError

from ..errors import ImageError, LookalikeError, NotEnoughMemoryError, TooManyPixelsError
from . import (
    MAX_PIXELS,
    bmp,
    dicom,
    exif,
    formats,
    heif,
    jpeg,
    jpeg2000,
    jpeg_top,
    jpegxl,
    open_exr,
    png,
    tiff,
)
from .formats import check_size
from .levels import AnyWindow
from .signatures import format_of

DECODERS: dict[str, formats.Decoder] = {
    **formats.DECODERS,
    "AVIF": heif.avif,
    "BMP": bmp.decode,
    "DICOM": dicom.first_frame,
    "HEIC": heif.heic,
    "JPEG": jpeg.decode_rare,
    "JPEG 2000": jpeg2000.decode,
    "JPEG XL": jpegxl.decode,
    "OpenEXR": open_exr.decode,
    "PNG": png.decode,
    "TIFF": tiff.first_page,
}
"""Of every format; the fast one of JPEG is here."""
COMMON = ("JPEG", "PNG", "WebP")
"""The formats that `decode_common` reads."""


class Image(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: uint8 (height, width, 3), RGB, upright; smaller than `height`, `width` only where `min_side`
            allowed it.
        width: pixels across of the upright picture at full resolution.
        height: pixels down of the same.
    """

    pixels: np.ndarray
    width: int
    height: int


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    middle: Sequence[int] | None = None,
    window: AnyWindow | None = None,
) -> Image:
    """Decode a file of one of `DECODERS`; of several frames, the first.

    EXIF orientation is applied, transparency composited on white. Samples of other than 8 bits are scaled to
    0..255: 16-bit ones by 1/257, and what has no fixed range (float, signed and 32-bit TIFF, grey DICOM) from its
    own least and greatest value. A window goes to the samples instead, before they are 8 bits. Safe to call from
    any number of threads.

    Args:
        data: the file, whole.
        max_pixels: the size limit, width x height, applied to the header before anything is decompressed.
        min_side: permission to return a picture reduced to 1/2, 1/4 or 1/8 whose shorter side is still at
            least this many pixels. Only JPEG makes use of it.
        middle: height and width of what will be cut out of the picture's middle once its shorter side is scaled to
            `min_side` pixels: permission to leave the rest black, and not to notice damage there that is none to the
            middle. A file that is cut short is refused all the same. Only JPEG makes use of it, without a window.
        window: which samples become 0 and which 255, in the file's own units: of grey DICOM after its rescaling
            (Hounsfield units of a CT), 0..65535 of 16-bit PNG and JPEG XL and of HEIC deeper than 8 bits, as stored
            in deep JPEG, JPEG 2000 and grey and RGB TIFF, 0..255 of all else.

    Raises:
        ImageError: the data is no image, is cut short or corrupt where the decoder can tell, or is too large.
        LookalikeError: a library that reads this format cannot be imported. Nothing else is raised.
    """
    common = decode_common(data, max_pixels=max_pixels, min_side=min_side, middle=middle, window=window)
    return common or decode_rare(data, max_pixels=max_pixels, min_side=min_side, window=window)


def decode_common(
    data: bytes,
    *,
    max_pixels: int,
    min_side: int | None,
    middle: Sequence[int] | None = None,
    window: AnyWindow | None,
) -> Image | None:
    """As `decode`, of JPEG, PNG and WebP as nearly all of them are; None for what `decode_rare` has to read.

    These decoders are fast, and have met the world's files for decades.
    """
    name = format_of(data)
    if name == "JPEG":
        with _told(name, max_pixels):
            image = _jpeg(data, max_pixels, min_side, None if window else middle)
            return image and image._replace(pixels=window.apply(image.pixels) if window else image.pixels)
    if name not in COMMON or (name == "PNG" and png.is_bloated(data)):
        return None
    if name == "WebP" and formats.is_costly_webp(data):
        return None
    return _decoded(name, data, max_pixels, window)


def decode_rare(data: bytes, *, max_pixels: int, min_side: int | None, window: AnyWindow | None) -> Image:
    """As `decode`, of what `decode_common` returns None for.

    Its decoders are not all as hardened: a file may end the process, hang or take memory without bound.
    """
    return _decoded(format_of(data), data, max_pixels, window)


def _decoded(name: str, data: bytes, max_pixels: int, window: AnyWindow | None) -> Image:
    with _told(name, max_pixels):
        pixels = DECODERS[name](data, max_pixels, window)
        return Image(pixels, pixels.shape[1], pixels.shape[0])


@contextlib.contextmanager
def _told(name: str, max_pixels: int) -> Iterator[None]:
    """Context for a decoder of this format: whatever it raises becomes an `ImageError`."""
    try:
        yield
    except (ImageError, LookalikeError):  # LookalikeError: a library that cannot be imported
        raise
    except MemoryError:
        raise NotEnoughMemoryError(f"{name}: not enough memory to decode it") from None
    except RecursionError:
        raise ImageError(f"{name} whose parts lie too deep in one another") from None
    except (
        DecompressionBombError
    ) as error:  # of GIF and ICO, where a frame is larger than the file said first
        size, limit = (int(number) for number in re.findall(r"\d+", str(error))[:2])
        limit = min(limit, max_pixels)  # Pillow's own is 178,956,970
        raise TooManyPixelsError(f"{size:,} pixels, more than the limit of {limit:,}") from None
    # Pillow, tifffile and pydicom raise whatever their parsers stumble upon: struct.error, KeyError, AttributeError,
    # SyntaxError.
    except Exception as error:
        raise ImageError(f"{name} cut short or corrupt: {_brief(error)}") from error


def _jpeg(data: bytes, max_pixels: int, min_side: int | None, middle: Sequence[int] | None) -> Image | None:
    head = jpeg.header(data)
    check_size(head.width, head.height, max_pixels)
    if not jpeg.is_common(data, head):
        return None
    factor = _reduction(min(head.width, head.height), min_side)
    pixels = None
    if min_side and middle:
        crop = middle[head.orientation in exif.TURNED]
        rows = jpeg_top.rows_of_middle(head.height, head.width, min_side, crop)
        pixels = jpeg_top.decode_top(data, head, factor, rows)
    if pixels is None:
        pixels = jpeg.decode(data, head, factor)
    if pixels is None:
        return None
    size = (head.height, head.width) if head.orientation in exif.TURNED else (head.width, head.height)
    return Image(exif.upright(pixels, head.orientation), *size)


def _reduction(side: int, min_side: int | None) -> int:
    """How many times smaller libjpeg may decode a picture of shorter side `side`: 1, 2, 4 or 8.

    libjpeg knows all eighths, but only these have SIMD code: at 6/8 a 400-pixel photograph took 1.00 ms, at
    full size 0.77.
    """
    factor = 1
    while min_side and factor < 8 and side >= 2 * factor * min_side:
        factor *= 2
    return factor


def _brief(error: Exception) -> str:
    """The error's first sentence, without what differs from run to run: addresses, TensorFlow's op names."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]|<.* at 0x[0-9a-f]+>|\(\)", "", str(error)).strip()
    text = " ".join(text.split("\n")[0].split())[:120]
    return text or type(error).__name__
