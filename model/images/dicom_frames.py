"""The first frame of DICOM pixel data to samples: raw by pydicom, RLE and codestreams by imagecodecs and libjpeg-turbo.

A codestream is asked for its size before it is decoded; all else is of the size that the header says.
"""

from __future__ import annotations

import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import imports
from ..errors import ImageError
from .codestreams import decode_jpeg, decode_jpeg_ls, jpeg_2000_size, jpeg_frame
from .levels import bands

PIXEL_DATA = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
"""Tag -> keyword of the elements that hold pixels."""

_RLE = "1.2.840.10008.1.2.5"
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in range(50, 57))
"""Baseline, extended, and what was retired and is still written of progressive photographs; arithmetic-coded or not."""
_LOSSLESS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70))
_JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
"""The last three are High-Throughput JPEG 2000, which OpenJPEG reads too."""
_COLOURS = frozenset(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"))
"""Kinds of three samples that are read; the last two are RGB once they are decompressed, whatever they are called."""
_IN_JPEG = frozenset(("YBR_PARTIAL_422", "YBR_PARTIAL_420"))


@dataclass(frozen=True)
class PixelData:
    """The element of a file that holds pixels.

    Attributes:
        syntax: the transfer syntax, a `pydicom.uid.UID`.
        keyword: a value of `PIXEL_DATA`.
        vr: the value representation.
        value: all frames, as they lie in the file.
    """

    syntax: Any
    keyword: str
    vr: str
    value: memoryview


def frame_bytes(header: Any) -> int:
    """What a frame takes uncompressed: DICOM PS3.5, 8.1.1, and PS3.3, C.7.6.3.1.2 for colours shared by two pixels."""
    samples = 2 if header.get("PhotometricInterpretation") == "YBR_FULL_422" else int(header.SamplesPerPixel)
    return math.ceil(int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated) / 8)


def read_frame(pixels: PixelData, header: Any) -> np.ndarray:
    """The first frame, (rows, columns) of grey, (rows, columns, 3) of colours, palettes looked up and YBR made RGB.

    Raises:
        ImageError: the frame is not all there, of another size than the header says, or compressed in a way that is not
            read. pydicom and the codecs raise what they like.
    """
    kind = str(header.PhotometricInterpretation)
    known = _COLOURS | _IN_JPEG if pixels.syntax.is_encapsulated else _COLOURS
    if int(header.SamplesPerPixel) != 1 and kind not in known:
        raise ImageError(
            f"DICOM of {header.SamplesPerPixel} samples a pixel called {kind}, which is not supported"
        )
    if not pixels.syntax.is_encapsulated:
        frame = _raw(pixels, header)
    else:
        frame, is_rgb = _compressed(pixels, header)
        kind = "RGB" if is_rgb else kind
    if kind == "PALETTE COLOR":
        look_up = imports.pydicom().pixels.apply_color_lut
        colours = np.empty((*frame.shape, 3), look_up(frame[:1], header).dtype)
        for rows in bands(frame):
            colours[rows] = look_up(frame[rows], header)
        return colours
    if kind.startswith("YBR_FULL"):
        convert = imports.pydicom().pixels.convert_color_space
        for rows in bands(frame):
            frame[rows] = convert(frame[rows], "YBR_FULL", "RGB")
    return frame


def _raw(pixels: PixelData, header: Any) -> np.ndarray:
    size = frame_bytes(header)
    if len(pixels.value) < size:
        raise ImageError(
            f"DICOM cut short or corrupt: {len(pixels.value):,} bytes of pixels, {size:,} needed"
        )
    pydicom = imports.pydicom()
    decoder = pydicom.pixels.get_decoder(pixels.syntax)
    options = pydicom.pixels.utils.as_pixel_options(header, number_of_frames=1)
    options |= {"pixel_keyword": pixels.keyword, "pixel_vr": pixels.vr}
    if pixels.keyword != "PixelData":
        return decoder.as_array(pixels.value[: size + size % 2], index=0, raw=True, **options)[0]
    below = _bits_below(header)
    options["bits_stored"] = int(header.BitsStored) + below
    frame = decoder.as_array(pixels.value[: size + size % 2], index=0, raw=True, **options)[0]
    return frame >> below if below else frame


def _compressed(pixels: PixelData, header: Any) -> tuple[np.ndarray, bool]:
    """The first frame decompressed, and whether it is RGB whatever the header calls it."""
    rows, columns, samples = int(header.Rows), int(header.Columns), int(header.SamplesPerPixel)
    if int(header.BitsAllocated) not in (8, 16, 32) or samples not in (1, 3):
        raise ImageError(
            f"DICOM of {header.BitsAllocated} bits and {samples} samples a pixel, compressed, which is not supported"
        )
    extended = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
    data = imports.pydicom().encaps.get_frame(
        io.BytesIO(pixels.value),
        0,
        number_of_frames=int(header.get("NumberOfFrames") or 1),
        extended_offsets=extended if all(extended) else None,
    )
    is_rgb = False
    if pixels.syntax == _RLE:
        frame = _rle(data, rows, columns, samples, int(header.BitsAllocated) // 8)
    elif pixels.syntax in _LOSSY | _LOSSLESS | _JPEG_LS:
        found = jpeg_frame(data)
        if found is None:
            raise ImageError("DICOM cut short or corrupt: JPEG without a frame")
        _check_size((found.height, found.width), header)
        if pixels.syntax in _JPEG_LS:
            frame = decode_jpeg_ls(data)
        else:
            is_rgb = pixels.syntax in _LOSSY
            frame = decode_jpeg(data, found, _is_ybr(data, header) if is_rgb else False)
    elif pixels.syntax in _JPEG_2000:
        _check_size(jpeg_2000_size(data), header)
        frame, is_rgb = imports.codec("jpeg2k_decode")(data), header.PhotometricInterpretation != "YBR_FULL"
    else:
        raise ImageError(f"DICOM compressed as {pixels.syntax.name}, which is not supported")
    frame = np.asarray(frame)
    if frame.size != rows * columns * samples:
        raise ImageError(
            f"DICOM cut short or corrupt: a frame of {frame.shape} where it says {rows, columns, samples}"
        )
    return _signed(frame, header), is_rgb and samples == 3


def _check_size(size: tuple[int, int] | None, header: Any) -> None:
    if size != (header.Rows, header.Columns):
        raise ImageError(
            f"DICOM cut short or corrupt: a codestream of {size} pixels where it says {header.Rows, header.Columns}"
        )


def _is_ybr(jpeg: bytes, header: Any) -> bool | None:
    """Whether three components of a JPEG are YBR; an Adobe marker knows it better than the header."""
    if re.search(rb"\xff\xee\0[\x0e-\xff]Adobe", jpeg[:4096]):  # libjpeg knows no shorter ones
        return None
    return header.PhotometricInterpretation != "RGB"


def _signed(frame: np.ndarray, header: Any) -> np.ndarray:
    """The same bits with the sign that the header says, which some codecs do not know of."""
    signed = bool(header.PixelRepresentation)
    if below := _bits_below(header):
        frame = frame >> below
    if frame.dtype.kind not in "ui" or signed == (frame.dtype.kind == "i"):
        return frame
    unused = 8 * frame.itemsize - int(header.BitsStored)
    if not signed:
        return frame.view(f"u{frame.itemsize}") & np.array(
            2 ** int(header.BitsStored) - 1, f"u{frame.itemsize}"
        )
    return (frame << unused).view(f"i{frame.itemsize}") >> unused


def _bits_below(header: Any) -> int:
    """Bits of a stored number below those of the sample: none, but for files of before 2014 (DICOM PS3.5, 8.1.1)."""
    stored = int(header.BitsStored)
    return max(0, min(int(header.get("HighBit", stored - 1)), int(header.BitsAllocated) - 1) + 1 - stored)


def _rle(data: bytes, rows: int, columns: int, samples: int, size: int) -> np.ndarray:
    """RLE, one segment for each byte of each sample, the highest first: DICOM PS3.5, annex G."""
    count, *offsets = struct.unpack("<16L", data[:64])
    if count != samples * size:
        raise ImageError(
            f"DICOM cut short or corrupt: {count} RLE segments where {samples * size} are needed"
        )
    ends = [*offsets[1:count], len(data)]
    frame = np.empty((rows, columns, samples), f"<u{size}")
    octets = frame.view(np.uint8).reshape(rows * columns, samples, size)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        sample, place = divmod(number, size)
        octets[:, sample, size - 1 - place] = _unpacked(memoryview(data)[start:end], rows * columns)
    return frame if samples > 1 else frame[..., 0]


def _unpacked(segment: memoryview, size: int) -> np.ndarray:
    """PackBits of `size` bytes, behind which one more may fill up to an even length."""
    unpack = imports.codec("packbits_decode")
    try:
        octets = unpack(segment, out=np.empty(size, np.uint8))
    except RuntimeError:
        if segment[-1:] != b"\0":
            raise
        octets = unpack(segment[:-1], out=np.empty(size, np.uint8))
    if len(octets) != size:
        raise ImageError(f"DICOM cut short or corrupt: {len(octets):,} bytes of RLE, {size:,} needed")
    return octets
