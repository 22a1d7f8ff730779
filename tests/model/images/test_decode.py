"""decode: every format's colours and orientation, and a reason, never a crash, for what is not a picture."""

import io
import resource
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from pydicom.data import get_testdata_file

from lookalike.model.errors import ImageError
from lookalike.model.images import decode as decode_module
from lookalike.model.images.decode import decode

WIDTH, HEIGHT = 48, 32
COLOURS = {"top_left": (220, 30, 30), "top_right": (30, 200, 40), "bottom": (40, 60, 210)}


def flag() -> np.ndarray:
    """uint8 (32, 48, 3): red and green above, blue below, so that no orientation looks like another."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = COLOURS["top_left"]
    pixels[: HEIGHT // 2, WIDTH // 2 :] = COLOURS["top_right"]
    pixels[HEIGHT // 2 :] = COLOURS["bottom"]
    return pixels


def saved(picture: Pil.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def opencv(extension: str, rgb: np.ndarray) -> bytes:
    return cv2.imencode(extension, rgb[..., ::-1] if rgb.ndim == 3 else rgb)[1].tobytes()


def dicom(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


RGB = Pil.fromarray(flag())
GIF_FRAMES = {"save_all": True, "append_images": [Pil.new("RGB", RGB.size)]}
# name -> file, largest difference of a colour in the middle of its field
FILES: dict[str, tuple[bytes, int]] = {
    "jpeg": (saved(RGB, "JPEG", quality=95, subsampling=0), 4),
    "jpeg progressive": (saved(RGB, "JPEG", quality=95, subsampling=0, progressive=True), 4),
    "jpeg cmyk": (saved(RGB.convert("CMYK"), "JPEG", quality=95), 5),
    "png": (saved(RGB, "PNG"), 0),
    "png palette": (saved(RGB.quantize(8), "PNG"), 1),
    "png 16 bit": (opencv(".png", flag().astype(np.uint16) * 257), 0),
    "bmp": (saved(RGB, "BMP"), 0),
    "bmp palette": (saved(RGB.quantize(8), "BMP"), 1),
    "gif": (saved(RGB, "GIF"), 1),
    "gif animated": (saved(RGB, "GIF", **GIF_FRAMES), 1),
    "webp": (saved(RGB, "WEBP", quality=95), 12),
    "webp lossless": (saved(RGB, "WEBP", lossless=True), 0),
    "webp animated": (saved(RGB, "WEBP", lossless=True, **GIF_FRAMES), 0),
    "avif": (saved(RGB, "AVIF", quality=95), 12),
    "tiff": (saved(RGB, "TIFF"), 0),
    "tiff lzw": (saved(RGB, "TIFF", compression="tiff_lzw"), 0),
    "tiff jpeg": (saved(RGB, "TIFF", compression="jpeg", quality=95), 12),
    "tiff palette": (saved(RGB.quantize(8), "TIFF"), 1),
    "tiff 16 bit": (opencv(".tiff", flag().astype(np.uint16) * 257), 1),
    "tiff cmyk": (saved(RGB.convert("CMYK"), "TIFF"), 1),
}
ALPHA_FORMATS = {"PNG": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "TIFF": {}, "GIF": {}}


def assert_flag(pixels: np.ndarray, tolerance: int) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    for place, (y, x) in {"top_left": (7, 11), "top_right": (7, 37), "bottom": (24, 24)}.items():
        assert np.abs(pixels[y, x].astype(int) - COLOURS[place]).max() <= tolerance, place


@pytest.mark.parametrize("name", FILES)
def test_colours_are_right_in_every_format(name: str) -> None:
    data, tolerance = FILES[name]
    image = decode(data)
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    assert_flag(image.pixels, tolerance)


@pytest.mark.parametrize("name", FILES)
def test_decoding_twice_and_in_threads_gives_the_same_pixels(name: str) -> None:
    data, _ = FILES[name]
    with ThreadPoolExecutor(4) as threads:
        results = [image.pixels for image in threads.map(decode, [data] * 8)]
    assert all(np.array_equal(results[0], other) for other in results[1:])


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
    assert decode(saved(Pil.fromarray(values), "TIFF")).pixels[..., 0].tolist() == [[0, 128], [255, 128]]


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


def test_min_side_gives_a_smaller_jpeg_and_its_full_size() -> None:
    exif = Pil.Exif()
    exif[0x0112] = 6
    data = saved(RGB.resize((403, 301)), "JPEG", exif=exif)
    for min_side, shape in {
        301: (403, 301),
        151: (403, 301),
        150: (202, 151),
        70: (101, 76),
        1: (51, 38),
    }.items():
        image = decode(data, min_side=min_side)
        assert image.pixels.shape == (*shape, 3)
        assert (image.width, image.height) == (301, 403)
    assert decode(FILES["png"][0], min_side=1).pixels.shape == (HEIGHT, WIDTH, 3)


def test_jpeg_that_libjpeg_only_warns_of_is_read() -> None:
    data = FILES["jpeg"][0]
    revision = data.index(b"JFIF\0") + 5
    assert_flag(decode(data[:revision] + b"\x07" + data[revision + 1 :]).pixels, 4)
    assert_flag(decode(data + b"trailing bytes").pixels, 4)


# --- DICOM: the samples in pydicom's wheel


@pytest.mark.parametrize(
    ("name", "size"),
    {
        "CT_small.dcm": (128, 128),
        "MR_small_RLE.dcm": (64, 64),
        "MR_small_bigendian.dcm": (64, 64),
        "MR_small_jpeg_ls_lossless.dcm": (64, 64),
        "JPEG-lossy.dcm": (1024, 256),
        "JPEG2000.dcm": (1024, 256),
        "SC_rgb_rle_2frame.dcm": (100, 100),
        "SC_rgb_jpeg_dcmtk.dcm": (100, 100),
        "SC_rgb_rle_16bit.dcm": (100, 100),
        "SC_ybr_full_422_uncompressed.dcm": (100, 100),
        "image_dfl.dcm": (512, 512),
        "examples_palette.dcm": (350, 800),
    }.items(),
)
def test_dicom_is_read_in_every_compression(name: str, size: tuple[int, int]) -> None:
    image = decode(dicom(name))
    assert (image.height, image.width) == size
    assert image.pixels.shape == (*size, 3)
    assert image.pixels.min() < 16
    assert image.pixels.max() > 200


def test_dicom_compressed_by_jpeg_ls_is_the_same_as_raw() -> None:
    assert np.array_equal(
        decode(dicom("MR_small.dcm")).pixels, decode(dicom("MR_small_jpeg_ls_lossless.dcm")).pixels
    )


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_dicom_with_black_as_its_greatest_value_is_inverted(name: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom(name)))
    normal = decode(dicom(name)).pixels
    dataset.PhotometricInterpretation = "MONOCHROME1"
    stream = io.BytesIO()
    dataset.save_as(stream)
    inverted = 255 - decode(stream.getvalue()).pixels.astype(int)
    assert np.abs(inverted - normal).max() <= 1


@pytest.mark.parametrize("name", ["rtplan.dcm", "MR_truncated.dcm"])
def test_dicom_without_whole_pixels_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="DICOM"):
        decode(dicom(name))


# --- what is not a picture


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello world, I am text", "not an image: starts with 'hello world, I a'"),
        (b"BMW is a maker of cars and motorcycles", "not an image: starts with 'BMW is a maker o'"),
        (b"\n<!DOCTYPE html><title>404", "not an image: looks like HTML"),
        (b"<?xml version='1.0'?><svg>", "not an image: looks like an SVG drawing"),
        (b"%PDF-1.7", "not an image: looks like PDF"),
        (b"\0" * 100, "not an image: nothing but zero bytes"),
        (b"\0\1\2\3\4", "not an image: starts with the bytes 00 01 02 03 04"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0",
            "not an image: a 'heic' container (HEIC or video), which is not supported",
        ),
    ],
)
def test_what_is_not_an_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value) == reason


def bomb(name: str, width: int, height: int) -> bytes:
    """A small file whose header claims `width` x `height`."""
    data = bytearray(FILES[name][0])
    if name == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif name == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif name == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif name == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif name == "tiff":
        for tag, value in ((256, width), (257, height)):
            at = data.index(struct.pack("<HH", tag, 4 if struct.pack("<HH", tag, 4) in data else 3))
            data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    elif name == "webp animated":
        data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp", "tiff", "webp animated"])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_allocated(name: str) -> None:
    with pytest.raises(
        ImageError, match=r"^60000 x 60000 = 3,600,000,000 pixels, more than the limit of 100,"
    ):
        decode(bomb(name, 60000, 60000))


@pytest.mark.parametrize("name", FILES)
def test_the_size_limit_holds_for_every_format(name: str) -> None:
    data, _ = FILES[name]
    assert decode(data, max_pixels=WIDTH * HEIGHT).width == WIDTH
    with pytest.raises(ImageError, match="48 x 32 = 1,536 pixels, more than the limit of 1,535"):
        decode(data, max_pixels=WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_the_size_limit_holds_for_dicom(name: str) -> None:
    with pytest.raises(ImageError, match="more than the limit of 100"):
        decode(dicom(name), max_pixels=100)


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "tiff"])
def test_a_picture_of_no_size_is_refused(name: str) -> None:
    with pytest.raises(ImageError):
        decode(bomb(name, 0, 32))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_in_every_format(name: str, kept: float) -> None:
    data, _ = FILES[name]
    # The first frame of an animation is whole after the first half.
    if "animated" in name and kept > 0.5:
        kept = 0.4
    with pytest.raises(ImageError) as caught:
        decode(data[: int(len(data) * kept)])
    assert len(str(caught.value)) < 200
    assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_dicom_is_refused(name: str, kept: float) -> None:
    data = dicom(name)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * kept)])


def test_a_dicom_that_claims_four_gigabytes_of_compressed_pixels_takes_no_more_than_it_has() -> None:
    data = bytearray(dicom("MR_small_jpeg_ls_lossless.dcm"))
    length = data.index(b"\xe0\x7f\x10\x00OW") + 8
    assert data[length : length + 4] == b"\xff" * 4
    data[length + 2] = 128
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(bytes(data)).pixels.shape == (64, 64, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def assert_refused_or_read(data: bytes) -> None:
    try:
        image = decode(data, max_pixels=1_000_000)
    except ImageError:
        pass
    else:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == (image.height, image.width, 3)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    assert_refused_or_read(data)


FUZZED = {name: data for name, (data, _) in FILES.items()} | {
    "dicom": dicom("SC_rgb_small_odd.dcm"),
    "dicom rle": dicom("MR_small_RLE.dcm"),
    "dicom jpeg-ls": dicom("MR_small_jpeg_ls_lossless.dcm"),
    "dicom jpeg 2000": dicom("693_J2KI.dcm"),
}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_and_cut_files_are_refused_or_read(draws: st.DataObject) -> None:
    damaged = bytearray(FUZZED[draws.draw(st.sampled_from(sorted(FUZZED)), label="file")])
    for _ in range(draws.draw(st.integers(1, 5), label="flips")):
        damaged[draws.draw(st.integers(0, len(damaged) - 1))] = draws.draw(st.integers(0, 255))
    assert_refused_or_read(bytes(damaged[: draws.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]))


def test_whatever_a_decoder_raises_becomes_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes, max_pixels: int, window: None) -> np.ndarray:
        raise LookupError("<_io.BytesIO object at 0x7f01> is odd\nsecond line")

    monkeypatch.setitem(decode_module.DECODERS, "GIF", fails)
    with pytest.raises(ImageError, match=r"^GIF cut short or corrupt: is odd$"):
        decode(FILES["gif"][0])
