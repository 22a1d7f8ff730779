"""What each format has of its own, through decode: grey, transparency, palettes, depths and orientation."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from lookalike.model.images.decode import decode
from tests.support.image_files import (
    COLOURS,
    HEIGHT,
    RGB,
    WIDTH,
    assert_flag,
    flag,
    opencv,
    saved,
)

ALPHA_FORMATS = {"PNG": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "TIFF": {}, "GIF": {}}


@pytest.mark.parametrize(
    "data",
    [
        saved(RGB.convert("L"), "JPEG", quality=95),
        saved(RGB.convert("L"), "PNG"),
        saved(RGB.convert("L"), "TIFF"),
        saved(RGB.convert("L"), "AVIF", quality=95),
        opencv(".png", np.asarray(RGB.convert("L")).astype(np.uint16) * 257),
        saved(Pil.fromarray(np.asarray(RGB.convert("L")).astype(np.uint16) * 257), "TIFF"),
    ],
    ids=["jpeg", "png", "tiff", "avif", "png 16 bit", "tiff 16 bit"],
)
def test_grey_becomes_three_equal_channels(data: bytes) -> None:
    pixels = decode(data).pixels
    assert np.abs(pixels.astype(int) - np.asarray(RGB.convert("L"))[..., None]).max() <= 6
    assert (pixels[..., 0] == pixels[..., 1]).all()


@pytest.mark.parametrize("form", ALPHA_FORMATS)
def test_transparency_is_composited_on_white(form: str) -> None:
    picture = RGB.copy()
    picture.putalpha(Pil.fromarray(np.repeat(np.uint8([[255] * 24 + [0] * 24]), HEIGHT, axis=0)))
    pixels = decode(saved(picture, form, **ALPHA_FORMATS[form])).pixels.astype(int)
    assert np.abs(pixels[7, 11] - COLOURS["top_left"]).max() <= 3
    assert pixels[7, 37].min() >= 253


def test_half_transparent_pixels_are_mixed_and_grey_with_alpha_is_read() -> None:
    half = Pil.new("RGBA", (4, 4), (100, 0, 200, 128))
    for form in ("PNG", "TIFF"):
        assert decode(saved(half, form)).pixels[0, 0].tolist() == [177, 127, 227]
    assert decode(saved(Pil.new("LA", (4, 4), (0, 0)), "PNG")).pixels.min() == 255
    deep = np.zeros((4, 4, 4), np.uint16)
    assert decode(cv2.imencode(".png", deep)[1].tobytes()).pixels.min() == 255


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
@pytest.mark.parametrize("transparent", [None, 1])
def test_png_palettes_of_every_depth_are_read_with_and_without_transparency(
    colours: int, transparent: int | None
) -> None:
    indices = np.tile(np.arange(colours, dtype=np.uint8), (4, 1))
    palette = np.random.default_rng(colours).integers(0, 256, (colours, 3), np.uint8)
    picture = Pil.fromarray(indices, "P")
    picture.putpalette(palette.tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    expected = palette.copy()
    if transparent is not None:
        expected[transparent] = 255
    data = saved(picture, "PNG", bits=colours.bit_length() - 1, **options)
    assert np.array_equal(decode(data).pixels, np.tile(expected, (4, 1, 1)))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_grey_levels_is_read(bits: int) -> None:
    row = bytes([0, 0b11100100]) if bits == 2 else bytes([0, 0b11110000])
    header = struct.pack(">IIBBBBB", 8 // bits, 1, bits, 0, 0, 0, 0)
    data = png_of([(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")])
    levels = {1: [255] * 4 + [0] * 4, 2: [255, 170, 85, 0], 4: [255, 0]}[bits]
    assert decode(data).pixels[0, :, 0].tolist() == levels


def test_interlaced_png_is_read() -> None:
    """Adam7 of one pixel has one pass, of one byte: enough to see that interlacing is not refused."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)), (b"IDAT", zlib.compress(b"\0\1\2\3"))]
    assert decode(png_of([*chunks, (b"IEND", b"")])).pixels.tolist() == [[[1, 2, 3]]]


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_float_tiff_is_stretched_from_least_to_greatest() -> None:
    values = np.float32([[-1, 0], [1, np.nan]])
    assert decode(saved(Pil.fromarray(values), "TIFF")).pixels[..., 0].tolist() == [[0, 128], [255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_undone(form: str, orientation: int) -> None:
    # Exif 2.32: where row 0 and column 0 of the stored picture lie when it is upright.
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = Pil.fromarray(np.ascontiguousarray(undo[orientation](flag())))
    exif = Pil.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {} if form in ("PNG", "TIFF") else {"quality": 95}
    image = decode(saved(stored, form, exif=exif, **options))
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    assert_flag(image.pixels, 12)


def test_a_broken_exif_block_loses_the_orientation_and_not_the_picture() -> None:
    exif = Pil.Exif()
    exif[0x0112] = 6
    data = saved(RGB, "JPEG", quality=95, subsampling=0, exif=exif)
    at = data.index(b"Exif\0\0") + 6
    assert_flag(decode(data[:at] + b"\xff" * 8 + data[at + 8 :]).pixels, 4)
