"""jpegxl: every kind and depth of sample, its size before it is decoded, and its cut ends."""

from __future__ import annotations

import tracemalloc

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.jpegxl import header
from tests.model.images.test_heif import RGB8, SAMPLES, difference, on_white


@pytest.mark.parametrize("mode", SAMPLES)
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl_of_every_kind_of_sample(mode: str, kind: str, container: bool) -> None:
    samples = SAMPLES[mode]
    scaled = {"u1": samples, "u2": samples.astype(np.uint16) * 257, "f4": (samples / 255).astype(np.float32)}[
        kind
    ]
    data = imagecodecs.jpegxl_encode(scaled, lossless=True, usecontainer=container)
    assert header(data)[:2] == (87, 61)
    assert difference(data, on_white(samples)) < 0.6


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1, 1),
        (8, 8),
        (256, 256),
        (40, 30),
        (400, 300),
        (300, 200),
        (160, 90),
        (512, 257),
        (600, 500),
        (2000, 1),
    ],
)
def test_the_size_of_a_jpeg_xl_is_in_its_header(width: int, height: int) -> None:
    assert header(imagecodecs.jpegxl_encode(np.zeros((height, width), np.uint8))) == (width, height, 8)


def test_of_an_animated_jpeg_xl_the_first_frame_is_read() -> None:
    data = imagecodecs.jpegxl_encode(np.stack([RGB8, 255 - RGB8]), lossless=True)
    assert difference(data, RGB8) == 0


@pytest.mark.parametrize("bits", [*range(1, 17)])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
@pytest.mark.parametrize("animated", [False, True])
def test_every_depth_is_scaled_by_its_bits(bits: int, mode: str, animated: bool) -> None:
    kind = np.uint8 if bits <= 8 else np.uint16
    deep = (SAMPLES[mode].astype(np.uint32) * (2**bits - 1) // 255).astype(kind)
    frames = np.stack([deep, deep[::-1]]) if animated else deep
    data = imagecodecs.jpegxl_encode(frames, lossless=True, bitspersample=bits)
    assert header(data) == (87, 61, bits)
    back = np.rint(deep * (255 / (2**bits - 1))).astype(np.uint8)
    assert difference(data, on_white(back)) < 1


def test_whatever_is_cut_short_is_refused() -> None:
    data = imagecodecs.jpegxl_encode(RGB8)
    for kept in np.linspace(12, len(data) - 2, 60).astype(int):
        with pytest.raises(ImageError):
            decode(data[:kept])


def test_the_size_limit_holds_before_anything_is_decoded() -> None:
    with pytest.raises(ImageError, match="more than the limit of 100"):
        decode(imagecodecs.jpegxl_encode(RGB8), max_pixels=100)


def test_boxes_without_end_take_no_memory() -> None:
    """20 million of them took 1.8 GB, and the file was said to need more memory than there is."""
    data = b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08free" * 50_000
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="no codestream"):
            header(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
