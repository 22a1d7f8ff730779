"""heif: HEIC and AVIF of every kind of sample, turned and cut short."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.exif import upright
from lookalike.model.images.levels import Window
from tests.support.image_files import RGB, photograph, saved

RGB8 = photograph(61, 87)
GREY8 = RGB8[..., 0].copy()
RGBA8 = np.dstack([RGB8, np.tile(np.linspace(0, 255, 87).astype(np.uint8), (61, 1))])
SAMPLES = {"L": GREY8, "LA": RGBA8[..., 2:].copy(), "RGB": RGB8, "RGBA": RGBA8}


def on_white(samples: np.ndarray) -> np.ndarray:
    """8-bit samples to float (height, width, 3)."""
    if samples.ndim == 2:
        return np.repeat(samples[..., None], 3, axis=-1).astype(float)
    if samples.shape[2] in (2, 4):
        alpha = samples[..., -1:] / 255
        return samples[..., :-1] * alpha + 255 * (1 - alpha) + np.zeros((1, 1, 3))
    return samples.astype(float)


def difference(data: bytes, expected: np.ndarray) -> float:
    found = decode(data).pixels
    assert found.shape == expected.shape
    return float(np.abs(found - expected.astype(float)).mean())


def heic(samples: np.ndarray, mode: str, **options: object) -> bytes:
    stream = io.BytesIO()
    size = samples.shape[1], samples.shape[0]
    pillow_heif.from_bytes(mode, size, samples.tobytes()).save(stream, quality=-1, chroma=444, **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("deep", [False, True])
def test_heic_of_every_kind_of_sample(mode: str, deep: bool) -> None:
    samples = SAMPLES[mode]
    data = heic(samples.astype(np.uint16) * 257, f"{mode};16") if deep else heic(samples, mode)
    assert difference(data, on_white(samples)) < 1


def test_heic_whose_colours_are_multiplied_by_alpha() -> None:
    alpha = RGBA8[..., 3:]
    multiplied = np.dstack([np.rint(RGB8 * (alpha / 255)).astype(np.uint8), alpha])
    assert difference(heic(multiplied, "RGBa"), on_white(RGBA8)) < 1


def test_heic_that_does_not_say_its_size_before_its_pixels_is_read() -> None:
    data = heic(RGB8, "RGB")
    assert data.count(b"ispe") == 1
    assert difference(data.replace(b"ispe", b"free"), RGB8) < 1


def test_a_window_of_deep_heic_has_units_of_16_bits() -> None:
    data = heic(RGB8.astype(np.uint16) * 257, "RGB;16")
    assert difference(data, RGB8) < 1
    found = decode(data, window=Window(32768, 65536)).pixels
    assert np.abs(found - RGB8.astype(float)).mean() < 1


@pytest.mark.parametrize(("mode", "options"), [("L", {}), ("RGB", {"range": "limited"}), ("RGBA", {})])
def test_avif_of_every_kind_of_sample(mode: str, options: dict) -> None:
    data = saved(Pil.fromarray(SAMPLES[mode]), "AVIF", quality=100, subsampling="4:4:4", **options)
    assert difference(data, on_white(SAMPLES[mode])) < 1.5


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_deep_colour(bits: int) -> None:
    deep = (RGB8.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    data = imagecodecs.avif_encode(deep, level=95, bitspersample=bits, pixelformat="444")
    assert difference(data, RGB8) < 2


def test_of_an_avif_sequence_the_first_picture_is_read() -> None:
    others = [Pil.fromarray(255 - RGB8)]
    data = saved(Pil.fromarray(RGB8), "AVIF", quality=90, save_all=True, append_images=others)
    assert difference(data, RGB8) < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(orientation: int) -> None:
    """libheif writes EXIF as it is and the same turn as `irot` and `imir`, as phones do."""
    exif = Pil.Exif()
    exif[0x0112] = orientation
    pixels = decode(heic(RGB8, "RGB", exif=exif.tobytes())).pixels
    assert np.abs(pixels - upright(RGB8, orientation).astype(float)).mean() < 2


FILES = {
    "HEIC": heic(RGB8, "RGB"),
    "AVIF": saved(RGB, "AVIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_cut_short_is_refused(name: str) -> None:
    data = FILES[name]
    for kept in np.linspace(12, len(data) - 2, 60).astype(int):
        with pytest.raises(ImageError):
            decode(data[:kept])


@pytest.mark.parametrize("name", FILES)
def test_the_size_limit_holds_before_anything_is_decoded(name: str) -> None:
    with pytest.raises(ImageError, match="more than the limit of 100"):
        decode(FILES[name], max_pixels=100)


def test_the_main_picture_need_not_be_the_first() -> None:
    file = pillow_heif.HeifFile()
    for samples in (255 - RGB8, RGB8):
        file.add_from_pillow(Pil.fromarray(samples))
    stream = io.BytesIO()
    file.save(stream, quality=-1, chroma=444, primary_index=1)
    assert difference(stream.getvalue(), on_white(RGB8)) < 2
