"""DICOM's option space, written by pydicom with imagecodecs: the first frame of it, and what is refused."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.levels import Window
from tests.support.dicom_files import dicom_file, rle
from tests.support.image_files import RGB, assert_flag, flag, saved

RAW = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
ROWS, COLUMNS = 21, 34


def levels() -> np.ndarray:
    """uint8 (21, 34), from 0 to 255, no row or column like another."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return ((x * 5 + y * 3) * 255 // (5 * (COLUMNS - 1) + 3 * (ROWS - 1))).astype(np.uint8)


def samples(dtype: str, bits: int) -> np.ndarray:
    """The levels over all values of so many bits."""
    low = -(2 ** (bits - 1)) if dtype[0] == "i" else 0
    return (levels().astype(np.int64) * (2**bits - 1) // 255 + low).astype(dtype)


def assert_levels(data: bytes) -> None:
    pixels = decode(data).pixels
    assert pixels.shape == (ROWS, COLUMNS, 3)
    assert (pixels == pixels[..., :1]).all()
    assert np.abs(pixels[..., 0].astype(int) - levels()).max() <= 1


@pytest.mark.parametrize("syntax", RAW)
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("u1", 8),
        ("i1", 8),
        ("u2", 10),
        ("u2", 12),
        ("i2", 12),
        ("i2", 13),
        ("u2", 16),
        ("i2", 16),
        ("u4", 32),
        ("i4", 32),
    ],
)
def test_raw_grey_of_every_depth_is_read(syntax: str, dtype: str, bits: int) -> None:
    frame = samples(dtype, bits)
    frames = np.stack([frame, frame[::-1], frame[::-1]])
    assert_levels(dicom_file(frames, syntax, BitsStored=bits))
    inverted = decode(
        dicom_file(frames, syntax, BitsStored=bits, PhotometricInterpretation="MONOCHROME1")
    ).pixels
    assert np.abs(255 - inverted[..., 0].astype(int) - levels()).max() <= 1


@pytest.mark.parametrize("syntax", RAW)
@pytest.mark.parametrize(("dtype", "keyword"), [("f4", "FloatPixelData"), ("f8", "DoubleFloatPixelData")])
def test_pixels_of_floats_are_read(syntax: str, dtype: str, keyword: str) -> None:
    frame = (levels() / 7 - 3).astype(dtype)
    assert_levels(dicom_file(np.stack([frame, -frame]), syntax, keyword=keyword))


@pytest.mark.parametrize("syntax", [*RAW, uid.RLELossless])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("size", [1, 2])
def test_colours_are_read(syntax: str, planar: int, kind: str, size: int) -> None:
    if size == 2 and (kind == "YBR_FULL" or syntax == uid.RLELossless):
        return
    pixels = flag().astype(f"u{size}") * (257 if size == 2 else 1)
    if kind == "YBR_FULL":
        pixels = pydicom.pixels.convert_color_space(pixels, "RGB", "YBR_FULL")
    header = {"PhotometricInterpretation": kind, "PlanarConfiguration": planar}
    if syntax == uid.RLELossless:
        data = dicom_file([rle(pixels)] * 2, syntax, size=(32, 48), SamplesPerPixel=3, **header)
    else:
        frames = np.stack([pixels, pixels[::-1]])
        if planar:
            header["Rows"], header["Columns"] = 32, 48
            frames = np.ascontiguousarray(np.moveaxis(frames, -1, 1)).reshape(2, 32, 48, 3)
        data = dicom_file(frames, syntax, **header)
    assert_flag(decode(data).pixels, 2)


def test_one_bit_and_palettes_and_shared_colours_are_read() -> None:
    bits = levels() > 100
    data = dicom_file(bits[None].astype(np.uint8), BitsAllocated=1, BitsStored=1)
    packed = np.packbits(np.concatenate([bits.ravel(), bits.ravel()]), bitorder="little").tobytes()
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.PixelData, dataset.NumberOfFrames = packed + b"\0" * (len(packed) % 2), 2
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert np.array_equal(decode(stream.getvalue()).pixels[..., 0], np.where(bits, 255, 0))
    indices = np.where(levels() > 100, 1, 0).astype(np.uint8)
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, entry in (("Red", 40), ("Green", 90), ("Blue", 200))
        for part, value in (("Descriptor", [2, 0, 16]), ("Data", struct.pack("<2H", 0, entry * 257)))
    }
    pixels = decode(dicom_file(indices[None], PhotometricInterpretation="PALETTE COLOR", **tables)).pixels
    assert pixels[-1, -1].tolist() == [40, 90, 200]
    assert pixels[0, 0].tolist() == [0, 0, 0]
    ybr = pydicom.pixels.convert_color_space(flag(), "RGB", "YBR_FULL")
    shared = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    header = {"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    data = dicom_file(shared.reshape(1, 32, 96), Columns=48, **header)
    assert_flag(decode(data).pixels, 2)


def encoded(frame: np.ndarray, syntax: str) -> bytes:
    return bytes(
        {
            uid.RLELossless: rle,
            uid.JPEGLossless: lambda x: imagecodecs.jpeg8_encode(
                x, lossless=True, bitspersample=8 * x.itemsize
            ),
            uid.JPEGLosslessSV1: lambda x: imagecodecs.jpeg8_encode(
                x, lossless=True, bitspersample=8 * x.itemsize
            ),
            uid.JPEGLSLossless: imagecodecs.jpegls_encode,
            uid.JPEG2000Lossless: lambda x: imagecodecs.jpeg2k_encode(x, level=0, codecformat="j2k"),
        }[syntax](frame)
    )


SYNTAXES = (uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 12), ("u2", 16), ("i2", 12), ("i2", 16)])
def test_grey_of_every_compression_and_sign_is_read(syntax: str, dtype: str, bits: int) -> None:
    frame = samples(dtype, bits)
    stored = (
        frame.view("u2") & np.uint16(2**bits - 1) if dtype == "i2" and syntax != uid.RLELossless else frame
    )
    header = {
        "BitsAllocated": 8 * frame.itemsize,
        "BitsStored": bits,
        "PixelRepresentation": int(dtype[0] == "i"),
    }
    data = dicom_file(
        [encoded(np.ascontiguousarray(stored), syntax)] * 3, syntax, size=(ROWS, COLUMNS), **header
    )
    assert_levels(data)
    # In units too: a window is told what the stored values are.
    middle = float(frame[10, 17])
    assert np.array_equal(
        decode(data, window=Window(middle, 1)).pixels[..., 0], np.where(frame >= middle, 255, 0)
    )


def test_grey_of_a_jpeg_that_is_not_lossless_is_read() -> None:
    for syntax, bits, frame in (
        (uid.JPEGBaseline8Bit, 8, levels()),
        (uid.JPEGExtended12Bit, 12, samples("u2", 12)),
    ):
        jpeg = imagecodecs.jpeg8_encode(frame, level=100, bitspersample=bits)
        header = {"BitsAllocated": 8 * frame.itemsize, "BitsStored": bits}
        pixels = decode(dicom_file([jpeg], syntax, size=(ROWS, COLUMNS), **header)).pixels
        assert pixels.shape == (ROWS, COLUMNS, 3)
        assert np.abs(pixels.astype(int) - levels()[..., None]).max() <= 4


@pytest.mark.parametrize(
    ("kind", "space", "adobe"),
    [("RGB", "RGB", None), ("YBR_FULL", "YCBCR", None), ("RGB", "YCBCR", 1), ("YBR_FULL_422", "RGB", 0)],
)
def test_colours_of_a_jpeg_are_what_its_adobe_marker_says_or_else_the_header(kind, space, adobe) -> None:
    jpeg = imagecodecs.jpeg8_encode(flag(), level=98, outcolorspace=space, subsampling="444")
    if adobe is not None:
        jpeg = jpeg[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([adobe]) + jpeg[2:]
    header = {"SamplesPerPixel": 3, "PhotometricInterpretation": kind, "PlanarConfiguration": 0}
    assert_flag(decode(dicom_file([jpeg], uid.JPEGBaseline8Bit, size=(32, 48), **header)).pixels, 6)


def test_a_progressive_jpeg_is_read() -> None:
    header = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
    for syntax in ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"):
        jpeg = saved(RGB, "JPEG", quality=95, progressive=True)
        assert_flag(decode(dicom_file([jpeg], syntax, size=(32, 48), **header)).pixels, 12)
        with pytest.raises(ImageError):
            decode(dicom_file([jpeg[: len(jpeg) // 2]], syntax, size=(32, 48), **header))


@pytest.mark.parametrize("syntax", [*SYNTAXES, uid.JPEGBaseline8Bit])
def test_a_codestream_of_another_size_or_cut_is_refused(syntax: str) -> None:
    frame = samples("u1", 8)
    baseline = syntax == uid.JPEGBaseline8Bit
    data = imagecodecs.jpeg8_encode(frame, level=90) if baseline else encoded(frame, syntax)
    decode(dicom_file([data], syntax, size=(ROWS, COLUMNS)))
    for size in ((COLUMNS, ROWS), (ROWS + 1, COLUMNS), (ROWS, COLUMNS + 1), (200, 200)):
        if syntax == uid.RLELossless and size == (COLUMNS, ROWS):
            continue  # RLE has no size of its own
        with pytest.raises(ImageError, match="DICOM"):
            decode(dicom_file([data], syntax, size=size))
    for kept in (10, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(ImageError):
            decode(dicom_file([data[: kept // 2 * 2]], syntax, size=(ROWS, COLUMNS)))


def test_a_codestream_that_claims_60000_pixels_a_side_is_refused_at_once() -> None:
    frame = samples("u1", 8)
    jpeg = bytearray(imagecodecs.jpeg8_encode(frame))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60000, 60000)
    jpeg_2000 = bytearray(imagecodecs.jpeg2k_encode(frame, codecformat="j2k"))
    at = jpeg_2000.index(b"\xff\x51") + 6
    jpeg_2000[at : at + 8] = struct.pack(">II", 60000, 60000)
    for data, syntax in ((jpeg, uid.JPEGBaseline8Bit), (jpeg_2000, uid.JPEG2000Lossless)):
        with pytest.raises(
            ImageError, match=r"a codestream of \(60000, 60000\) pixels where it says \(21, 34\)"
        ):
            decode(dicom_file([bytes(data)], syntax, size=(ROWS, COLUMNS)))


def test_rle_segments_that_lie_beyond_the_frame_are_refused() -> None:
    data = bytearray(rle(samples("u2", 16)))
    header = {"BitsAllocated": 16, "BitsStored": 16}
    for offset in (0, len(data), 2**32 - 1):
        data[8:12] = struct.pack("<L", offset)
        with pytest.raises(ImageError):
            decode(dicom_file([bytes(data)], uid.RLELossless, size=(ROWS, COLUMNS), **header))
    data[:4] = struct.pack("<L", 3)
    with pytest.raises(ImageError, match="3 RLE segments where 2 are needed"):
        decode(dicom_file([bytes(data)], uid.RLELossless, size=(ROWS, COLUMNS), **header))


def test_what_is_not_read_is_called_by_its_name() -> None:
    with pytest.raises(ImageError, match=r"^DICOM compressed as MPEG2 Main .*, which is not supported$"):
        decode(dicom_file([bytes(100)], uid.MPEG2MPML, size=(ROWS, COLUMNS)))
    with pytest.raises(ImageError, match=r"^DICOM of 4 samples a pixel called ARGB, which is not supported$"):
        decode(
            dicom_file(
                [bytes(100)],
                uid.RLELossless,
                size=(4, 4),
                SamplesPerPixel=4,
                PhotometricInterpretation="ARGB",
            )
        )
    with pytest.raises(ImageError, match=r"^DICOM of 3 samples a pixel called HSV, which is not supported$"):
        decode(dicom_file(flag()[None], PhotometricInterpretation="HSV"))


def test_high_throughput_jpeg_2000_is_read() -> None:
    header = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    stream = imagecodecs.htj2k_encode(flag())
    assert_flag(decode(dicom_file([stream], uid.HTJ2KLossless, size=(32, 48), **header)).pixels, 2)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colours_of_fewer_bits_than_are_allocated_are_not_dark(bits: int) -> None:
    deep = flag().astype(np.uint32) * (2**bits - 1) // 255
    assert_flag(decode(dicom_file(deep.astype(np.uint16)[None], BitsStored=bits)).pixels, 2)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_samples_may_lie_in_the_upper_bits(signed: int, syntax: str) -> None:
    """As in files of before 2014; what lies below is no part of them."""
    values = levels().astype(np.int64)
    values = values * 4095 // int(values.max()) - 2048 * signed
    stored = ((values & 0xFFF) << 4 | 5).astype(np.uint16)
    if syntax == uid.RLELossless:
        data = dicom_file([rle(stored)], syntax, size=stored.shape, BitsAllocated=16, BitsStored=12)
    else:
        data = dicom_file(stored[None], BitsStored=12)
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.HighBit, dataset.PixelRepresentation = 15, signed
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert_levels(stream.getvalue())
