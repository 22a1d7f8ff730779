"""jpeg2000: every depth, signed and not, with alpha and with a palette."""

from __future__ import annotations

import base64
import struct

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.jpeg2000 import header
from lookalike.model.images.levels import Window
from tests.model.images.test_heif import GREY8, RGB8, SAMPLES, difference, on_white
from tests.model.images.test_isobmff import box


def encoded(samples: np.ndarray, bits: int, bare: bool) -> bytes:
    deep = (samples.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16 if bits > 8 else np.uint8)
    return imagecodecs.jpeg2k_encode(deep, level=0, bitspersample=bits, codecformat="j2k" if bare else "jp2")


@pytest.mark.parametrize("mode", SAMPLES)
@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16])
@pytest.mark.parametrize("bare", [False, True])
def test_every_kind_of_sample(mode: str, bits: int, bare: bool) -> None:
    data = encoded(SAMPLES[mode], bits, bare)
    width, height, components, *_ = header(data)
    assert (width, height, components) == (87, 61, [(bits, False)] * len(components))
    assert difference(data, on_white(SAMPLES[mode])) < (8 if bits == 4 else 1)


def test_deep_white_stays_white() -> None:
    """Pillow rounds 65535 / 256 to 256, which is 0."""
    data = imagecodecs.jpeg2k_encode(np.full((40, 40, 3), 65535, np.uint16), level=0)
    assert decode(data).pixels.min() == 255


def test_signed_samples_begin_at_black() -> None:
    signed = (GREY8.astype(int) * 257 - 32768).astype(np.int16)
    assert difference(imagecodecs.jpeg2k_encode(signed, level=0), on_white(GREY8)) < 0.6


def test_a_window_goes_to_the_samples() -> None:
    data = imagecodecs.jpeg2k_encode(
        np.arange(4096, dtype=np.uint16).reshape(64, 64), level=0, bitspersample=12
    )
    pixels = decode(data, window=Window(1000.5, 256)).pixels[..., 0].ravel()
    assert (pixels[800], pixels[1000], pixels[1200], pixels[4095]) == (0, 128, 255, 255)


def jp2(samples: np.ndarray, *boxes: bytes, space: int | bytes = 16, bits: int = 8) -> bytes:
    """A file of these samples as they are, of a colour space by number or by an ICC profile's four letters."""
    height, width, components = (*samples.shape, 1)[:3]
    header = box(b"ihdr", struct.pack(">IIHBBBB", height, width, components, bits - 1, 7, 0, 0))
    given = struct.pack(">BBBI", 1, 0, 0, space) if isinstance(space, int) else b"\2\0\0" + bytes(16) + space
    stream = imagecodecs.jpeg2k_encode(samples, codecformat="j2k", level=0, bitspersample=bits, mct=False)
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", b"".join([header, box(b"colr", given), *boxes]))
        + box(b"jp2c", stream)
    )


def channels(*kinds_and_colours: tuple[int, int]) -> bytes:
    entries = [struct.pack(">HHH", place, *channel) for place, channel in enumerate(kinds_and_colours)]
    return box(b"cdef", struct.pack(">H", len(entries)) + b"".join(entries))


def palette_of(colours: np.ndarray) -> bytes:
    """The two boxes of a palette, uint8 or uint16 (colours, channels)."""
    count, wide = colours.shape
    depths = bytes([8 * colours.itemsize - 1] * wide)
    entries = colours.astype(colours.dtype.newbyteorder(">")).tobytes()
    mapped = b"".join(struct.pack(">HBB", 0, 1, channel) for channel in range(wide))
    return box(b"pclr", struct.pack(">HB", count, wide) + depths + entries) + box(b"cmap", mapped)


INDICES = np.tile(np.arange(8, dtype=np.uint8), (40, 5))
PALETTE = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("deep", [False, True])
def test_a_palette_is_applied(bits: int, deep: bool) -> None:
    data = jp2(INDICES, palette_of(PALETTE.astype(np.uint16) * 257 if deep else PALETTE), bits=bits)
    assert np.array_equal(decode(data).pixels, PALETTE[INDICES])


def test_the_fourth_colour_of_a_palette_is_alpha() -> None:
    colours = np.dstack([PALETTE[None], np.arange(0, 256, 36, dtype=np.uint8)[None, :, None]])[0]
    data = jp2(INDICES, palette_of(colours), channels((0, 1), (0, 2), (0, 3), (1, 0)))
    assert difference(data, on_white(colours[INDICES])) < 1


@pytest.mark.parametrize("deep", [False, True])
def test_channels_are_what_the_file_defines(deep: bool) -> None:
    def stored(samples: np.ndarray, *defined: tuple[int, int]) -> bytes:
        kept = np.ascontiguousarray(samples)
        return jp2(kept.astype(np.uint16) * 257 if deep else kept, channels(*defined), bits=16 if deep else 8)

    rgba = SAMPLES["RGBA"]
    share = rgba[..., 3:] / 255
    multiplied = np.dstack([np.rint(RGB8 * share).astype(np.uint8), rgba[..., 3:]])
    assert difference(stored(RGB8[..., ::-1], (0, 3), (0, 2), (0, 1)), RGB8) < 1
    assert difference(stored(rgba, (0, 1), (0, 2), (0, 3), (1, 0)), on_white(rgba)) < 1
    assert difference(stored(np.roll(rgba, 1, axis=2), (1, 0), (0, 1), (0, 2), (0, 3)), on_white(rgba)) < 1
    assert difference(stored(multiplied, (0, 1), (0, 2), (0, 3), (2, 0)), on_white(rgba)) < 1
    assert difference(stored(rgba, (0, 1), (0, 2), (0, 3), (65535, 65535)), RGB8) < 1


@pytest.mark.parametrize("space", [12, b"CMYK"])
@pytest.mark.parametrize("bits", [8, 16])
def test_inks_are_no_colours_with_alpha(space: int | bytes, bits: int) -> None:
    inks = np.dstack([255 - RGB8, np.zeros_like(GREY8)])
    stored = inks.astype(np.uint16) * 257 if bits == 16 else inks
    assert difference(jp2(stored, space=space, bits=bits), RGB8) < 1


@pytest.mark.parametrize(
    ("space", "named"), [(14, "CIELab"), (b"Lab ", "CIELab"), (24, "a YCbCr other than sYCC")]
)
def test_a_colour_space_that_is_not_read_is_called_by_its_name(space: int | bytes, named: str) -> None:
    with pytest.raises(ImageError, match=f"^JPEG 2000 of {named}, which is not supported"):
        decode(jp2(RGB8, space=space))


ODD = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAACwAAAA8AAwcHAAAAAAAPY29scgEAAAAA"
    "ABIAAAE1anAyY/9P/1EALwAAAAAADwAAAAsAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAAAwcBAQcCAgcCAv9SAAwAAAABAAAEBAAB"
    "/1wABEBA/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS4w/5AACgAAAAAAvQAB/5PPtVRgNF/03KTnUJhpo1EZ"
    "IkgiJ4wAAGSxz2qUbAAAYR5reMSk6RmJQX5/ghhFF4JiymJGC6AwjzFOI9tvmJSdQlk0BGbPkVNUkJDY4LwTEqlzs1hF3VY/z7SY"
    "A3viacEcqvmNO1icXkVxy79Efwxdoe5uBFVmbmB91gAwfaM9lT/PtKwTzf5RoST9PPk6Zw6+9vQFy45dm40F3B6nj5OqHeasDlRx"
    "kt3goX+j1p0n/9k="
)
"""By libvips: 15 x 11 pixels of four colours that meet at (8, 6), YCbCr 4:2:0."""


def test_colours_shared_by_pixels_of_a_picture_of_odd_size_are_found() -> None:
    red, green, blue, yellow = (200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)
    rows = [[red] * 8 + [green] * 7] * 6 + [[blue] * 8 + [yellow] * 7] * 5
    assert difference(ODD, np.array(rows, np.uint8)) < 12
    assert not header(ODD).is_even
    for_four = ODD.replace(b"\7\2\2\7\2\2", b"\7\4\1\7\4\1", 1)
    with pytest.raises(ImageError, match=r"^JPEG 2000 of odd size with colours shared by \(4, 1\) pixels"):
        decode(for_four)


def test_subsampled_grey_is_called_by_its_name() -> None:
    data = jp2(GREY8)
    siz = data.index(b"\xff\x4f\xff\x51") + 42
    with pytest.raises(ImageError, match=r"^JPEG 2000 of subsampled components"):
        decode(data[: siz + 1] + b"\2\2" + data[siz + 3 :])


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("bare", [False, True])
def test_what_is_cut_short_is_refused(bits: int, bare: bool) -> None:
    data = encoded(RGB8, bits, bare)
    for kept in np.linspace(12, len(data) * 0.98, 40).astype(int):
        with pytest.raises(ImageError):
            decode(data[:kept])


def test_the_size_limit_holds() -> None:
    with pytest.raises(ImageError, match="87 x 61 = 5,307 pixels, more than the limit of 100"):
        decode(encoded(RGB8, 16, True), max_pixels=100)
