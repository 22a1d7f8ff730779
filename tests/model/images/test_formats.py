"""What each format has of its own, through decode: grey, transparency, palettes, depths and orientation."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pil

from lookalike.model.errors import ImageError, NotEnoughMemoryError, TooManyPixelsError
from lookalike.model.images import formats
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
    assert decode(saved(Pil.fromarray(values), "TIFF")).pixels[..., 0].tolist() == [[16, 136], [255, 0]]


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


def gif_part(bits: int, *, interlaced: bool = False, **options: int) -> tuple[bytes, np.ndarray]:
    """A frame of random colours with a palette of its own size, and its pixels (9, 16, 3)."""
    indices = np.random.default_rng(bits).integers(0, 2**bits, (9, 16)).astype(np.uint8)
    palette = np.random.default_rng(0).integers(0, 256, (2**bits, 3)).astype(np.uint8)
    picture = Pil.fromarray(indices, "P")
    picture.putpalette(palette.tobytes())
    return saved(picture, "GIF", interlace=interlaced, optimize=False, **options), palette[indices]


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8])
@pytest.mark.parametrize("interlaced", [False, True])
def test_gif_of_every_depth(bits: int, interlaced: bool) -> None:
    data, expected = gif_part(bits, interlaced=interlaced)
    assert np.array_equal(decode(data).pixels, expected)


def test_what_the_first_frame_of_a_gif_leaves_out_is_transparent() -> None:
    data, expected = gif_part(4)
    frame = data.index(b",\0\0\0\0\x10\0\x09\0")
    moved = (
        data[:6]
        + struct.pack("<HH", 40, 30)
        + data[10:frame]
        + b","
        + struct.pack("<HH", 7, 5)
        + data[frame + 5 :]
    )
    pixels = np.full((30, 40, 3), 255)
    pixels[5:14, 7:23] = expected
    assert np.array_equal(decode(moved).pixels, pixels)


def test_a_gif_whose_first_frame_is_empty_is_refused() -> None:
    data, _ = gif_part(4)
    frame = data.index(b",\0\0\0\0\x10\0\x09\0")
    for size in ((0, 9), (16, 0), (0, 0)):
        with pytest.raises(ImageError):
            decode(data[: frame + 5] + struct.pack("<HH", *size) + data[frame + 9 :])


def test_a_gif_whose_palette_belongs_to_the_frame() -> None:
    data, expected = gif_part(8)
    frame = data.index(b",\0\0\0\0\x10\0\x09\0")
    own = data[frame : frame + 9] + b"\x87" + data[13 : 13 + 768] + data[frame + 10 :]
    assert np.array_equal(
        decode(data[:10] + b"\0" + data[11:13] + data[13 + 768 : frame] + own).pixels, expected
    )


@pytest.mark.parametrize(
    ("maximum", "form"), [(255, 6), (100, 6), (65535, 6), (255, 5), (65535, 5), (1000, 5), (1, 4)]
)
def test_pnm_is_read_at_any_depth(maximum: int, form: int) -> None:
    samples = np.random.default_rng(0).integers(0, maximum + 1, (9, 16, 3) if form == 6 else (9, 16))
    body = (
        np.packbits(samples == 0, axis=1) if form == 4 else samples.astype(">u2" if maximum > 255 else "u1")
    )
    head = b"P%d\n# a comment\n16 9\n" % form + (b"" if form == 4 else b"%d\n" % maximum)
    expected = np.broadcast_to(samples.reshape(9, 16, -1) * (255 / maximum), (9, 16, 3))
    assert np.abs(decode(head + body.tobytes()).pixels - expected).max() <= (4 if maximum == 100 else 1.01)
    plain = np.array2string(samples.ravel(), threshold=10**6)[1:-1].encode()
    if form != 4:
        assert (
            np.abs(decode(head.replace(b"P%d" % form, b"P%d" % (form - 3)) + plain).pixels - expected).max()
            <= 4
        )


@pytest.mark.parametrize("inside", ["png", "bmp"])
def test_of_an_icon_the_largest_picture_is_read(inside: str) -> None:
    picture = RGB.resize((48, 48)).convert("RGBA")
    picture.putpixel((0, 0), (9, 9, 9, 0))
    pixels = decode(saved(picture, "ICO", bitmap_format=inside, sizes=[(16, 16), (48, 48)])).pixels
    assert pixels.shape == (48, 48, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(pixels[1:], np.asarray(RGB.resize((48, 48)))[1:])


@pytest.mark.parametrize("channels", [3, 4])
def test_qoi_is_read(channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (9, 16, channels)).astype(np.uint8)
    samples[..., 3:] = 255
    assert np.array_equal(decode(imagecodecs.qoi_encode(samples)).pixels, samples[..., :3])


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0MM\0*"}])
@pytest.mark.parametrize("size", [(67, 41), (16383, 3), (1, 16383)])
def test_the_size_of_a_webp_is_known_before_its_decoder_sets_memory_aside(
    size: tuple[int, int], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(Pil.new("RGB", size), "WEBP", **options)
    monkeypatch.setattr(formats, "by_pillow", None)
    with pytest.raises(TooManyPixelsError, match=f"^{size[0]} x {size[1]} "):
        decode(data, max_pixels=size[0] * size[1] - 1)


def lacking(size: int) -> None:
    raise MemoryError


@pytest.mark.parametrize("form", ["WEBP", "JPEG2000"])
def test_a_lack_of_memory_is_not_called_damage(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(RGB, form)
    monkeypatch.setattr(formats, "check_room", lacking)
    with pytest.raises(NotEnoughMemoryError):
        decode(data[: len(data) - 200] + bytes(200))


def test_jpeg_xl_without_room_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(imagecodecs.jpegxl_encode(np.asarray(RGB), lossless=True))
    with pytest.raises(ImageError, match="cut short or corrupt"):
        decode(data[: len(data) // 2])
    monkeypatch.setattr(formats, "check_room", lacking)
    with pytest.raises(NotEnoughMemoryError):
        decode(data[: len(data) // 2])
    assert np.array_equal(decode(data).pixels, np.asarray(RGB))


def icon(bgra: np.ndarray, mask: np.ndarray) -> bytes:
    """An icon of 32 bits a pixel with a mask, bool (height, width), true where nothing is shown."""
    height, width = mask.shape
    header = struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, 32, *[0] * 6)
    hidden = np.packbits(np.pad(mask, ((0, 0), (0, -width % 32))), axis=1)[::-1].tobytes()
    inside = header + bgra[::-1].tobytes() + hidden
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, width, height, 0, 0, 1, 32, len(inside), 22) + inside


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_icon_whose_alpha_is_0_everywhere_is_shown_by_its_mask(alpha: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (20, 40, 3)).astype(np.uint8)
    mask = np.arange(800).reshape(20, 40) % 7 == 0
    bgra = np.dstack([colours[..., ::-1], np.full((20, 40), alpha, np.uint8)])
    shown = colours if alpha else np.where(mask[..., None], 255, colours)
    assert np.array_equal(decode(icon(bgra, mask)).pixels, shown)


def test_an_icon_with_a_larger_picture_than_it_says_keeps_to_the_limit() -> None:
    inside = saved(RGB.resize((300, 200)), "PNG")
    data = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22) + inside
    assert decode(data, max_pixels=60_000).pixels.shape == (200, 300, 3)
    with pytest.raises(TooManyPixelsError, match="300 x 200"):
        decode(data, max_pixels=59_999)


def test_a_frame_beyond_what_pillow_reads_is_too_large_and_not_corrupt() -> None:
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    data += b"," + struct.pack("<HHHHB", 0, 0, 20_000, 20_000, 0) + b"\2\2\x4c\1\0;"
    with pytest.raises(TooManyPixelsError, match=r"^400,000,000 pixels, more than the limit of 100,000,000$"):
        decode(data)


def test_a_webp_that_cannot_be_opened_for_want_of_memory_is_not_called_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canvases = 8 * 40 * 30

    def no_room(size: int) -> None:
        if size != canvases:
            raise MemoryError

    stream = io.BytesIO()
    Pil.new("RGB", (40, 30)).save(stream, "WEBP")
    cut = stream.getvalue()[:-20]
    with pytest.raises(OSError, match="decoder"):
        formats.DECODERS["WebP"](cut, 1_200, None)
    monkeypatch.setattr(formats, "check_room", no_room)
    with pytest.raises(MemoryError):
        formats.DECODERS["WebP"](cut, 1_200, None)
