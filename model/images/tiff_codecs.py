"""What one strip or tile of a TIFF holds to its samples, by imagecodecs: the right number of them, or none.

Where a codec would fill in what is missing, it is kept from it: that of JPEG by its strict mode, that of faxes by
`model.images.fax`. Those that find a size in the segment itself are given an output of the size expected. JPEG XR is
not read: its decoder gives no sign of what was missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import imports
from ..errors import ImageError
from . import fax
from .codestreams import decode_jpeg, jpeg_2000_size, jpeg_frame

JPEG = {6, 7, 33007}
JPEG_2000 = {33003, 33004, 33005, 34712}
_BYTES = {
    **{5: "lzw", 32773: "packbits", 34925: "lzma"},
    **dict.fromkeys((8, 32946, 50013), "deflate"),
    **dict.fromkeys((34926, 50000), "zstd"),
}
"""Compression -> the codec of imagecodecs that gives bytes."""
_PICTURES = {
    **{34887: "lerc", 34933: "png"},
    **dict.fromkeys((34927, 50001), "webp"),
    **dict.fromkeys((50002, 52546), "jpegxl"),
}
"""Compression -> the codec of imagecodecs that gives an array, of the size that it finds in the segment."""
YCBCR = 6


@dataclass(frozen=True)
class Segment:
    """One strip or tile, of one plane.

    Attributes:
        number: its place in the page's lists.
        plane, top, left: where it belongs.
        height, width: of what the picture has of it.
        full_height, full_width: of what it may hold; the last strip may be as high as the others, tiles always are.
    """

    number: int
    plane: int
    top: int
    left: int
    height: int
    width: int
    full_height: int
    full_width: int


def rows_of(page: Any, segment: Segment) -> int:
    """Rows that a segment must have: a tile all of them, the last strip only those of the picture."""
    return segment.full_height if page.is_tiled else segment.height


def bytes_of(page: Any, segment: Segment, inside: int, rows: int) -> int:
    """What `rows` rows of a segment take, decompressed."""
    across, down = _subsampling(page)
    if (across, down) != (1, 1):
        return -(-rows // down) * -(-segment.full_width // across) * (across * down + 2)
    return rows * -(-segment.full_width * inside * page.bitspersample // 8)


def _subsampling(page: Any) -> tuple[int, int]:
    """How many pixels across and down share one colour, in what is stored as YCbCr samples. TIFF 6.0, section 21."""
    if page.photometric != YCBCR or page.compression in JPEG | JPEG_2000:
        return 1, 1
    across, down = page.subsampling or (2, 2)
    if (across, down) != (1, 1) and (
        not {across, down} <= {1, 2, 4}
        or page.bitspersample != 8
        or page.planarconfig != 1
        or page.predictor != 1
    ):
        raise ImageError("TIFF of subsampled YCbCr that is not 8 bits in one plane, which is not supported")
    return across, down


Decoder = Callable[[memoryview, Segment], np.ndarray]


def decoder(page: Any, inside: int, dtype: np.dtype) -> Decoder:
    """What makes (height, width, inside) of a segment, at least as large as the picture's part of it."""
    compression = int(page.compression)
    if compression in fax.NAMES:
        if page.bitspersample != 1 or inside != 1:
            raise ImageError("TIFF cut short or corrupt: a fax of more than one bit a pixel")
        return lambda stored, segment: _fax(stored, segment, page)
    if compression in JPEG:
        return lambda stored, segment: from_jpeg(stored, segment, page, inside)
    if compression in JPEG_2000:
        return lambda stored, segment: _jpeg_2000(stored, segment, inside, dtype)
    if compression in _PICTURES:
        decode = imports.codec(_PICTURES[compression] + "_decode")
        return lambda stored, segment: _picture(_in_order(stored, page), segment, decode, page, inside, dtype)
    if compression in _BYTES:
        decode = imports.codec(_BYTES[compression] + "_decode")
        return lambda stored, segment: _unpacked(
            decode(
                _in_order(stored, page), out=bytearray(bytes_of(page, segment, inside, segment.full_height))
            ),
            *(segment, page, inside, dtype),
        )
    if compression == 1:
        return lambda stored, segment: _unpacked(_in_order(stored, page), segment, page, inside, dtype)
    name = getattr(page.compression, "name", compression)
    raise ImageError(f"TIFF compressed as {name}, which is not supported")


def _in_order(stored: memoryview, page: Any) -> Any:
    """The bytes with their highest bit first."""
    return imports.codec("bitorder_decode")(bytes(stored)) if page.fillorder == 2 else stored


def _unpacked(raw: Any, segment: Segment, page: Any, inside: int, dtype: np.dtype) -> np.ndarray:
    """Bytes to samples, with the predictor undone."""
    bits = page.bitspersample
    rows, width = rows_of(page, segment), segment.full_width
    needed = bytes_of(page, segment, inside, rows)
    if len(raw) < needed:
        raise ImageError(
            f"TIFF cut short or corrupt: a strip or tile of {len(raw):,} bytes, {needed:,} needed"
        )
    raw = memoryview(raw)[:needed]
    if _subsampling(page) != (1, 1):
        return _with_colours_repeated(raw, rows, width, *_subsampling(page))
    # As libtiff, which knows of no predictor where nothing is compressed: writers leave the tag behind.
    predictor = 1 if page.compression == 1 else int(page.predictor)
    if predictor not in (1, 2, 3) or (predictor != 1 and bits not in (8, 16, 32, 64)):
        raise ImageError(f"TIFF of {bits} bits with predictor {predictor}, which is not supported")
    if bits in (8, 16, 32, 64):
        # The predictor of floats takes their bytes apart, the same in files of either order.
        order: Any = "=" if predictor == 3 else page.parent.byteorder
        samples = np.frombuffer(raw, dtype.newbyteorder(order)).astype(dtype, copy=False)
    elif dtype.kind == "f":
        samples = imports.codec("float24_decode")(raw, byteorder=page.parent.byteorder)
    else:
        samples = imports.codec("packints_decode")(raw, dtype, bits, runlen=width * inside)
    samples = samples.reshape(rows, width, inside)
    if predictor == 2:
        # Of floats too, it is the difference of their bits.
        differences = samples.view(f"u{dtype.itemsize}")
        out = differences if differences.flags.writeable else None
        return imports.codec("delta_decode")(differences, axis=-2, out=out).view(dtype)
    return imports.codec("floatpred_decode")(samples, axis=-2) if predictor == 3 else samples


def _with_colours_repeated(raw: memoryview, rows: int, width: int, across: int, down: int) -> np.ndarray:
    """Data units of YCbCr, a block of Y and one Cb and Cr each, to uint8 (rows, width, 3). TIFF 6.0, page 93."""
    units = np.frombuffer(raw, np.uint8).reshape(-(-rows // down), -(-width // across), across * down + 2)
    high, wide, _ = units.shape
    samples = np.empty((high, down, wide, across, 3), np.uint8)
    samples[..., 0] = units[..., :-2].reshape(high, wide, down, across).transpose(0, 2, 1, 3)
    samples[..., 1:] = units[:, None, :, None, -2:]
    return samples.reshape(high * down, wide * across, 3)[:rows, :width]


def _fax(stored: memoryview, segment: Segment, page: Any) -> np.ndarray:
    options = int(page.tags.valueof(292) or 0)
    strip = fax.Strip(segment.full_width, rows_of(page, segment), int(page.compression), options)
    return fax.decode(bytes(_in_order(stored, page)), strip)[..., None]


def _shapes(segment: Segment, inside: int) -> list[tuple[int, ...]]:
    """The sizes that a picture inside of the segment may have: whole, or cut where the page's ends."""
    sizes = {
        (height, width): None
        for height in (segment.full_height, segment.height)
        for width in (segment.full_width, segment.width)
    }
    return [size if inside == 1 else (*size, inside) for size in sizes]


def _picture(
    stored: memoryview, segment: Segment, decode: Any, page: Any, inside: int, dtype: np.dtype
) -> np.ndarray:
    options = {}
    if page.compression in (34927, 50001) and inside == 4:
        options["hasalpha"] = True  # left out of segments where all is opaque
    if page.compression == 34887:
        stored = _lerc(stored, segment, page, inside, dtype)
    mismatch: ValueError | None = None
    for shape in _shapes(segment, inside):
        try:
            block = decode(stored, out=np.empty(shape, dtype), **options)
        except ValueError as error:
            if not str(error).startswith("invalid out."):
                raise
            mismatch = error
        else:
            return np.asarray(block).reshape(*shape[:2], inside)
    raise ImageError(f"TIFF cut short or corrupt: a strip or tile holds another picture ({mismatch})")


def _lerc(stored: memoryview, segment: Segment, page: Any, inside: int, dtype: np.dtype) -> Any:
    """LERC without what it may be compressed by in its turn: the second number of the tag LercParameters."""
    _, how = page.tags.valueof(50674) or (0, 0)
    if how not in (1, 2):
        return stored
    most = 4096 + 2 * segment.full_height * segment.full_width * inside * dtype.itemsize
    return imports.codec("deflate_decode" if how == 1 else "zstd_decode")(stored, out=most)


def _jpeg_2000(stored: memoryview, segment: Segment, inside: int, dtype: np.dtype) -> np.ndarray:
    # Its decoder would make the whole picture, whatever its size, before it looks at the output.
    size = jpeg_2000_size(stored)
    if size is None:
        raise ImageError("TIFF cut short or corrupt: JPEG 2000 without a size")
    _check_inside(*size, segment)
    return _checked(np.asarray(imports.codec("jpeg2k_decode")(stored)), segment, inside, dtype)


def from_jpeg(stored: memoryview, segment: Segment, page: Any, inside: int) -> np.ndarray:
    """The samples of a segment that is a JPEG, whose tables may be the page's."""
    data, tables = bytes(stored), page.jpegtables
    jfif = data[6:10] == b"JFIF"
    data = tables[:-2] + data[2:] if tables and data[:2] == b"\xff\xd8" else data
    frame = jpeg_frame(data)
    if frame is None:
        raise ImageError("TIFF compressed as JPEG with its tables elsewhere (OJPEG), which is not supported")
    _check_inside(frame.height, frame.width, segment)
    # Not the JPEG but the TIFF says what its colours are, except where writers are known to say RGB of any.
    transformed = None if page.photometric == 2 and jfif else page.photometric == YCBCR
    return _checked(decode_jpeg(data, frame, transformed), segment, inside, np.dtype(page.dtype))


def _check_inside(height: int, width: int, segment: Segment) -> None:
    if (height, width) not in _shapes(segment, 1):
        raise ImageError(
            f"TIFF cut short or corrupt: a strip or tile of {segment.full_width} x {segment.full_height} pixels"
            f" holds a picture of {width} x {height}"
        )


def _checked(block: np.ndarray, segment: Segment, inside: int, dtype: np.dtype) -> np.ndarray:
    """(height, width, inside), if the codec found what the page says."""
    channels = block.shape[2] if block.ndim == 3 else 1
    if block.dtype != dtype or channels != inside:
        raise ImageError(
            f"TIFF cut short or corrupt: a strip or tile holds {channels} samples of type {block.dtype}"
            f" where the page says {inside} of {dtype}"
        )
    return block.reshape(*block.shape[:2], inside)
