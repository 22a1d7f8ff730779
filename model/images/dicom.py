"""DICOM to RGB: pydicom reads what is said of the picture, `model.images.dicom_frames` its first frame.

Only that frame is read, whatever the file holds behind it. As in `model.images.formats`, exceptions are not handled
here.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import imports
from ..errors import ImageError
from .dicom_frames import PIXEL_DATA, PixelData, frame_bytes, read_frame
from .formats import check_size
from .levels import AnyWindow, Window, by_bands, grey, ramp, stretched

_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112))
_MOST_HEADER = 8 << 20
"""Bytes that a deflated file may have in front of its pixels."""
_UNDEFINED_LENGTH = 0xFFFFFFFF


def first_frame(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """The first frame as RGB, uint8 (height, width, 3).

    Without a window grey values are stretched over 0..255. A window is applied to grey values after rescaling, to
    colours as they are stored.
    """
    header, pixels = _opened(data, max_pixels)
    frame = read_frame(pixels, header)
    if frame.shape[:2] != (header.Rows, header.Columns):
        raise ImageError(
            f"DICOM cut short or corrupt: {frame.shape[:2]} pixels where it says {header.Rows, header.Columns}"
        )
    if frame.ndim == 3:
        return _colour_levels(frame, header, window)
    levels = _windowed(frame, header, window) if window else _stretched(frame, header)
    del frame
    return grey(255 - levels if str(header.PhotometricInterpretation) == "MONOCHROME1" else levels)


def _opened(data: bytes, max_pixels: int) -> tuple[Any, PixelData]:
    """What a file says of its picture, and its pixel data; of a deflated file, no more than the first frame of them.

    Raises:
        ImageError: there is no picture, or it is too large.
    """
    read = imports.pydicom().filereader.read_dataset
    stream = io.BytesIO(data)
    stream.seek(132)
    meta = read(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if "TransferSyntaxUID" not in meta:
        raise ImageError("DICOM cut short or corrupt: it does not say how it is stored")
    syntax, content, inflate = meta.TransferSyntaxUID, memoryview(data), None
    if not syntax.is_transfer_syntax:  # to pydicom
        name = "JPEG XL" if syntax in _JPEG_XL else syntax
        raise ImageError(f"DICOM compressed as {name}, which is not supported")
    if syntax == _DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        content = memoryview(inflate.decompress(content[stream.tell() :], _MOST_HEADER))
        stream = io.BytesIO(content)
    header = read(
        stream,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, vr, length: tag in PIXEL_DATA,
    )
    if "Rows" not in header or "Columns" not in header:
        if inflate and len(content) == _MOST_HEADER:
            raise ImageError(f"DICOM whose header inflates to more than {_MOST_HEADER:,} bytes")
        raise ImageError("DICOM without a picture")
    check_size(int(header.Columns), int(header.Rows), max_pixels)
    start = stream.tell()
    if inflate:
        _check_length(content[start:], header)
        missing = start + 12 + frame_bytes(header) + 1 - len(content)
        if missing > 0:
            content = memoryview(b"".join([content, inflate.decompress(inflate.unconsumed_tail, missing)]))
    return header, _pixel_data(content[start:], syntax, *header.original_encoding)


def _check_length(element: memoryview, header: Any) -> None:
    """Refuse a deflated file whose pixels are said to be longer than its frames."""
    length = int.from_bytes(element[8:12], "little")
    most = frame_bytes(header) * max(1, int(header.get("NumberOfFrames") or 1)) + 1
    if length > most:
        raise ImageError(
            f"DICOM cut short or corrupt: {length:,} bytes of pixels, {most:,} at most for its frames"
        )


def _pixel_data(element: memoryview, syntax: Any, implicit: bool, little: bool) -> PixelData:
    """The element at the beginning of `element`: DICOM PS3.5, 7.1."""
    order: Any = "little" if little else "big"
    group, number = (int.from_bytes(element[at : at + 2], order) for at in (0, 2))
    keyword = PIXEL_DATA.get(group << 16 | number)
    start = 8 if implicit else 12
    if keyword is None or len(element) < start:
        raise ImageError("DICOM without a picture")
    length = int.from_bytes(element[start - 4 : start], order)
    vr = "OW" if implicit else bytes(element[4:6]).decode("ascii")
    value = element[start:] if length == _UNDEFINED_LENGTH else element[start : start + length]
    return PixelData(syntax, keyword, vr, value)


def _colour_levels(frame: np.ndarray, header: Any, window: AnyWindow | None) -> np.ndarray:
    if window:
        return window.apply(frame)
    looked_up = str(header.PhotometricInterpretation) == "PALETTE COLOR"  # over all of the type's range
    full = np.iinfo(frame.dtype).max if looked_up else 2.0 ** int(header.BitsStored) - 1
    if frame.dtype == np.uint8 and full == 255:
        return np.require(frame, requirements=["C", "W"])
    return by_bands(lambda rows: np.rint(np.clip(rows / full, 0, 1) * 255).astype(np.uint8), frame)


def _stretched(frame: np.ndarray, header: Any) -> np.ndarray:
    """All levels for the stored grey values (height, width): rescaling is linear, unless there is a table for it."""
    if "ModalityLUTSequence" in header:
        return stretched(imports.pydicom().pixels.apply_modality_lut(frame, header))
    levels = stretched(frame)
    return 255 - levels if _slope_and_intercept(header)[0] < 0 else levels


def _windowed(frame: np.ndarray, header: Any, window: AnyWindow) -> np.ndarray:
    """The window's levels of stored grey values (height, width), rescaled to the file's units."""
    rescaled, rising = _rescaling(header)
    if isinstance(window, Window):
        return by_bands(lambda rows: window.apply(rescaled(rows)), frame)
    if rising:
        # The sample at a percentile is the same one before and after.
        low, high = rescaled(np.array(window.ends(frame)))
        return by_bands(lambda rows: ramp(rescaled(rows), low, high), frame)
    return window.apply(rescaled(frame))


def _rescaling(header: Any) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """What turns stored values into the file's units, and whether more stays more: DICOM PS3.3 C.11.1.1.2."""
    if "ModalityLUTSequence" in header:
        return lambda values: imports.pydicom().pixels.apply_modality_lut(values, header), False
    slope, intercept = _slope_and_intercept(header)
    if not math.isfinite(slope) or not math.isfinite(intercept) or not slope:
        raise ImageError(
            f"DICOM with a rescale slope of {slope:g} and an intercept of {intercept:g}: no window can be laid on it"
        )
    if (slope, intercept) == (1, 0):
        return lambda values: values, True
    return lambda values: values * slope + intercept, slope > 0


def _slope_and_intercept(header: Any) -> tuple[float, float]:
    # Enhanced objects say it for all frames or for each, and not at the top.
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(groups) or [])[:1]:
            header = (group.get("PixelValueTransformationSequence") or [header])[0]
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
