"""Image bytes to RGB pixels: one function for every format, with a reason for every picture it cannot read.

A format is told by its first bytes, never by a name. Only PNG and DICOM import TensorFlow, when they occur.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import JpegImagePlugin

from ..errors import ImageError, LookalikeError
from . import dicom, formats, tiff
from .formats import check_size
from .levels import AnyWindow

DECODERS: dict[str, formats.Decoder] = {
    **formats.DECODERS,
    "TIFF": tiff.first_page,
    "DICOM": dicom.first_frame,
}
"""Of every format but JPEG."""
MAX_PIXELS = 100_000_000
"""The largest picture that is decoded unless the caller says otherwise: 300 MB of RGB."""

# What libjpeg only warns of in pictures that are whole. simplejpeg's strict mode, which is what notices a
# truncated file, refuses these too, and TurboJPEG has no name for the rarer chroma subsamplings: Pillow reads
# such files, and it too raises on truncation.
_HARMLESS_TO_JPEG = re.compile(r"subsampling|JFIF revision|Invalid SOS|Adobe color transform")


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
    window: AnyWindow | None = None,
) -> Image:
    """Decode JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP or DICOM; of several frames, the first.

    EXIF orientation is applied, transparency composited on white. Grey levels beyond 8 bits are scaled to
    0..255: 16-bit samples by 1/257, and what has no fixed range (float, signed and 32-bit TIFF, grey DICOM) from
    its own least and greatest value. A window goes to the samples instead, before they are 8 bits. Safe to call from
    any number of threads.

    Args:
        data: the file, whole.
        max_pixels: the size limit, width x height, applied to the header before anything is decompressed.
        min_side: permission to return a picture reduced to 1/2, 1/4 or 1/8 whose shorter side is still at
            least this many pixels. Only JPEG makes use of it.
        window: which samples become 0 and which 255, in the file's own units: of grey DICOM after its rescaling
            (Hounsfield units of a CT), 0..65535 of 16-bit PNG, as stored in grey and RGB TIFF, 0..255 of all else.

    Raises:
        ImageError: the data is no image, is cut short or corrupt where the decoder can tell, or is too large.
        LookalikeError: a library that reads this format cannot be imported. Nothing else is raised.
    """
    name = format_of(data)
    try:
        if name == "JPEG":
            image = _jpeg(data, max_pixels, min_side)
            return image._replace(pixels=window.apply(image.pixels)) if window else image
        pixels = DECODERS[name](data, max_pixels, window)
    except (ImageError, LookalikeError):  # LookalikeError: a library that cannot be imported
        raise
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode it") from None
    # Pillow, tifffile and pydicom raise whatever their parsers stumble upon: struct.error, KeyError, AttributeError,
    # SyntaxError.
    except Exception as error:
        raise ImageError(f"{name} cut short or corrupt: {_brief(error)}") from error
    return Image(pixels, pixels.shape[1], pixels.shape[0])


def format_of(data: bytes) -> str:
    """The format's name by its first bytes, a key of `DECODERS` or "JPEG".

    Raises:
        ImageError: none of the formats that `decode` knows.
    """
    if not data:
        raise ImageError("empty file")
    # Before all others: the 128 bytes in front are free, and in some files the head of a TIFF.
    if data[128:132] == b"DICM":
        return "DICOM"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    # Two letters are too few, text may begin with BM: the next header's size must be one that exists.
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
    raise ImageError(f"not an image: {_looks_like(data)}")


def _looks_like(data: bytes) -> str:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for starts, kind in (
        ((b"<!doctype html", b"<html", b"<head", b"<body"), "looks like HTML"),
        ((b"<svg",), "looks like an SVG drawing"),
        ((b"<?xml",), "looks like an SVG drawing" if b"<svg" in head else "looks like XML"),
        ((b"%pdf",), "looks like PDF"),
        ((b"version https://git-lfs",), "a Git LFS pointer, not the file itself"),
    ):
        if head.startswith(starts):
            return kind
    if data[4:8] == b"ftyp":
        return f"a {data[8:12].decode('latin-1')!r} container (HEIC or video), which is not supported"
    if not data.strip(b"\0"):
        return "nothing but zero bytes"
    start = data[:16]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return f"starts with {start.decode('ascii')!r}"
    return f"starts with the bytes {start[:8].hex(' ')}"


def _jpeg(data: bytes, max_pixels: int, min_side: int | None) -> Image:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        check_size(width, height, max_pixels)
        factor = _reduction(min(width, height), min_side)
        pixels = simplejpeg.decode_jpeg(
            data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor)
        )
    except ImageError:
        raise
    except ValueError as error:
        if not _HARMLESS_TO_JPEG.search(str(error)):
            raise
        pixels = formats.by_pillow(data, max_pixels, None, "JPEG")
        return Image(pixels, pixels.shape[1], pixels.shape[0])
    # Looking first costs microseconds, the parse a tenth of a decode. APP1 precedes the picture, in practice
    # within the first segments.
    if b"Exif\0\0" in data[:65536]:
        orientation = formats.orientation_of(JpegImagePlugin.JpegImageFile(io.BytesIO(data)))
        pixels = formats.upright(pixels, orientation)
        if orientation in formats.TURNED:
            height, width = width, height
    return Image(pixels, width, height)


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
