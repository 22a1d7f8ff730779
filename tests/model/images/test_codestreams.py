"""JPEG and JPEG 2000 inside other files: their size is found, and JPEG has the colours that it is said to have."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.codestreams import decode_jpeg, decode_jpeg_ls, jpeg_2000_size, jpeg_frame
from tests.support.image_files import RGB, assert_flag, flag, saved

NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def test_the_frame_header_is_found_behind_whatever_precedes_it() -> None:
    jpeg = saved(RGB, "JPEG", quality=95)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(jpeg)) + jpeg
    for data in (jpeg, jpeg[:2] + thumbnail + jpeg[2:], jpeg[:2] + b"\xff" + jpeg[2:]):
        frame = jpeg_frame(data)
        assert frame is not None
        assert frame[1:] == (0xC0, 8, 32, 48, 3)
        assert data[frame.start : frame.start + 2] == b"\xff\xc0"
        assert_flag(decode_jpeg(data, frame, True), 12)
    assert jpeg_frame(jpeg[jpeg.index(b"\xff\xda") :]) is None
    assert jpeg_frame(jpeg[:50]) is None
    assert jpeg_frame(b"") is None


def test_jpeg_ls_and_jpeg_2000_tell_their_size() -> None:
    frame = jpeg_frame(imagecodecs.jpegls_encode(NOISE))
    assert frame is not None
    assert frame[1:] == (0xF7, 8, 40, 30, 3)
    assert np.array_equal(decode_jpeg_ls(imagecodecs.jpegls_encode(NOISE)), NOISE)
    for form in ("j2k", "jp2"):
        assert jpeg_2000_size(imagecodecs.jpeg2k_encode(NOISE, codecformat=form)) == (40, 30)
    assert jpeg_2000_size(b"no codestream") is None


@pytest.mark.parametrize("adobe", [None, 0, 1])
def test_colours_are_what_the_caller_says_and_not_the_jpeg(adobe: int | None) -> None:
    marker = b"" if adobe is None else b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([adobe])
    rgb = imagecodecs.jpeg8_encode(flag(), level=98, outcolorspace="RGB")
    ycbcr = imagecodecs.jpeg8_encode(flag(), level=98, subsampling="444")
    for jpeg, transformed in ((rgb, False), (ycbcr, True)):
        data = jpeg[:2] + marker + jpeg[2:]
        assert_flag(decode_jpeg(data, jpeg_frame(data), transformed), 6)
    assert_flag(decode_jpeg(ycbcr, jpeg_frame(ycbcr), None), 6)


def test_grey_has_no_axis_of_its_own() -> None:
    jpeg = imagecodecs.jpeg8_encode(np.ascontiguousarray(flag()[..., 0]), level=95)
    samples = decode_jpeg(jpeg, jpeg_frame(jpeg), False)
    assert samples.shape == flag().shape[:2]
    assert np.abs(samples.astype(int) - flag()[..., 0]).mean() < 4


@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_jpeg_comes_back_as_it_was(bits: int) -> None:
    grey = np.ascontiguousarray(NOISE[..., 0]).astype(f"u{bits // 8}")
    jpeg = imagecodecs.jpeg8_encode(grey, lossless=True, bitspersample=bits)
    assert np.array_equal(decode_jpeg(jpeg, jpeg_frame(jpeg), None), grey)
    colour = imagecodecs.jpeg8_encode(NOISE, lossless=True, outcolorspace="RGB")
    assert np.array_equal(decode_jpeg(colour, jpeg_frame(colour), False), NOISE)
    with pytest.raises(ImageError, match="without its end"):
        decode_jpeg(jpeg[:-20], jpeg_frame(jpeg), None)


def test_a_jpeg_ls_that_is_cut_is_refused_at_once() -> None:
    jpeg = bytes(
        imagecodecs.jpegls_encode(np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16))
    )
    for kept in range(len(jpeg) - 60, len(jpeg) - 2, 3):
        with pytest.raises(ImageError, match="without its end"):
            decode_jpeg_ls(jpeg[:kept])


@pytest.mark.parametrize(("bits", "lossless"), [(12, False), (12, True), (16, True)])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 1.0])
def test_a_jpeg_that_ends_before_its_last_block_is_refused_for_all_its_end(
    bits: int, lossless: bool, kept: float
) -> None:
    deep = (flag().astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    data = imagecodecs.jpeg8_encode(deep, level=98, bitspersample=bits, lossless=lossless, subsampling="444")
    scan = data.index(b"\xff\xda") + 14
    cut = data[: scan + int(kept * (len(data) - 2 - scan))] + data[-2:]
    frame = jpeg_frame(cut)
    assert frame is not None
    if kept == 1.0:
        assert decode_jpeg(cut, frame, None).shape == (*flag().shape[:2], 3)
    else:
        with pytest.raises(ImageError, match="ends before its last block"):
            decode_jpeg(cut, frame, None)


def test_a_lossless_jpeg_is_not_converted_for_being_jfif() -> None:
    jpeg = imagecodecs.jpeg8_encode(NOISE, lossless=True, outcolorspace="RGB")
    jfif = jpeg[:2] + b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + jpeg[2:]
    assert np.array_equal(decode_jpeg(jfif, jpeg_frame(jfif), False), NOISE)


@pytest.mark.parametrize(("bits", "lossless"), [(12, False), (8, True), (16, True)])
@pytest.mark.parametrize("fill", [1, 2, 7])
def test_the_end_may_be_filled_up_in_front(bits: int, lossless: bool, fill: int) -> None:
    grey = (flag()[..., 0].astype(np.uint32) * (2**bits - 1) // 255).astype(f"u{-(-bits // 8)}")
    jpeg = imagecodecs.jpeg8_encode(grey, level=98, bitspersample=bits, lossless=lossless)
    filled = jpeg[:-2] + b"\xff" * fill + jpeg[-2:]
    frame = jpeg_frame(jpeg)
    assert frame is not None
    assert np.array_equal(decode_jpeg(filled, frame, None), decode_jpeg(jpeg, frame, None))
    scan = jpeg.index(b"\xff\xda") + 10
    cut = jpeg[: scan + (len(jpeg) - scan) // 2] + b"\xff" * fill + jpeg[-2:]
    with pytest.raises(ImageError, match="ends before its last block"):
        decode_jpeg(cut, frame, None)
