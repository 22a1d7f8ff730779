"""jpeg2000: every depth, signed and not, with alpha and with a palette."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.jpeg2000 import size_of
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
    width, height, components = size_of(data)
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


@pytest.mark.parametrize("bits", [4, 8])
def test_a_palette_is_applied(bits: int) -> None:
    indices = np.tile(np.arange(8, dtype=np.uint8), (40, 5))
    palette = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    header = box(b"ihdr", struct.pack(">IIHBBBB", 40, 40, 1, bits - 1, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    header += box(b"pclr", struct.pack(">HB", 8, 3) + b"\7\7\7" + palette.tobytes())
    header += box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, channel) for channel in range(3)))
    stream = imagecodecs.jpeg2k_encode(indices, codecformat="j2k", level=0, bitspersample=bits)
    data = (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", header)
        + box(b"jp2c", stream)
    )
    assert np.array_equal(decode(data).pixels, palette[indices])


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
