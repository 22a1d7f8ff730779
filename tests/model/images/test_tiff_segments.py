"""Strips and tiles that are missing, cut, too few, or longer than they need to be."""

from __future__ import annotations

import contextlib
import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from tests.support.tiff_files import COMPRESSIONS, LAYOUTS, places, tiff, written


def with_tag(data: bytes, tag: int, index: int, value: int) -> bytes:
    """The file with another number in a list of strips or tiles."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[0].tags[tag]
        code = {3: "H", 4: "I"}[int(found.dtype)]
        at = found.valueoffset + index * struct.calcsize(code)
    return data[:at] + struct.pack("<" + code, value) + data[at + struct.calcsize(code) :]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [*COMPRESSIONS, "jpeg"])
def test_a_segment_that_is_cut_is_refused_unless_all_pixels_are_there(
    compression: str, layout: dict[str, object]
) -> None:
    data = written(compression, **layout)
    whole = decode(data).pixels
    lengths = 325 if "tile" in layout else 279
    for index, (_, length) in enumerate(places(data)):
        for kept in (0, 1, length // 3, length * 4 // 5):
            with pytest.raises(ImageError):
                decode(with_tag(data, lengths, index, kept))
        for kept in range(length - 40, length, 3):
            # Checksums and ends may be what is cut off; of LZW, half of the last code, one sample.
            with contextlib.suppress(ImageError):
                assert (decode(with_tag(data, lengths, index, kept)).pixels != whole).sum() <= (
                    compression == "lzw"
                )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", ["none", "lzw", "jpeg"])
def test_a_segment_that_is_missing_or_beyond_the_file_is_refused(
    compression: str, layout: dict[str, object]
) -> None:
    data = written(compression, **layout)
    offsets, lengths = (324, 325) if "tile" in layout else (273, 279)
    for place in (0, len(data) - 5, len(data), 2**32 - 1):
        with pytest.raises(ImageError, match="bytes of a strip or tile at"):
            decode(with_tag(data, offsets, 0, place))
    if compression != "none":
        with pytest.raises(ImageError, match="bytes of a strip or tile at"):
            decode(with_tag(data, lengths, 0, len(data)))


def test_too_few_strips_are_refused() -> None:
    for tags in ({273: [8]}, {279: [16]}):
        with pytest.raises(ImageError, match="1 strips or tiles where 2 are needed"):
            decode(tiff(4, 8, [bytes(16), bytes(16)], tags, rows=4))


def test_a_last_strip_may_be_as_long_as_the_others() -> None:
    rows = np.arange(4 * 10, dtype=np.uint8).reshape(10, 4)
    padded = np.concatenate([rows, np.zeros((2, 4), np.uint8)])
    for compression, encode in ((1, bytes), (8, imagecodecs.deflate_encode), (5, imagecodecs.lzw_encode)):
        strips = [encode(padded[top : top + 6].tobytes()) for top in (0, 6)]
        pixels = decode(tiff(4, 10, strips, rows=6, compression=compression)).pixels
        assert np.array_equal(pixels[..., 0], rows)
