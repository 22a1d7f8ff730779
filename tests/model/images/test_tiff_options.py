"""TIFF's option space: written by tifffile with imagecodecs, and by libtiff through Pillow and OpenCV; read by ours.

By default a small spread of it; `pytest -m slow` walks all that its writers can write.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Pil

from lookalike.model.images.decode import decode
from lookalike.model.images.exif import upright
from tests.support.tiff_files import packed, tiff

HEIGHT, WIDTH = 37, 53
SPREAD = 61
"""Of so many options the default suite takes one."""

STRETCHED = ("i1", "i2", "i4", "u4", "u8", "i8", "f2", "f4", "f8")
SCALED = ("bool", "u1", "u2")
BYTES = ("none", "lzw", "adobe_deflate", "packbits", "zstd", "lzma")
LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "one tile": {"tile": (64, 64)},
}
PHOTOMETRIC = ("minisblack", "miniswhite", "rgb", "rgba", "associated", "separated", "palette")


class Options(NamedTuple):
    """How one file is written."""

    dtype: str
    photometric: str
    planar: str
    compression: str
    predictor: int
    layout: str
    order: str
    orientation: int
    big: bool


def picture() -> np.ndarray:
    """uint8 (37, 53, 3) with all levels from 0 to 255, no channel, row or column like another."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    red, green = x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1)
    return np.stack([red, green, (x * 7 + y * 11) % 256], axis=-1).astype(np.uint8)


def grey_picture() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return ((x * 3 + y * 2) * 255 // (3 * WIDTH + 2 * HEIGHT - 5)).astype(np.uint8)


def stored(levels: np.ndarray, dtype: str) -> np.ndarray:
    """Levels of 0 to 255 as samples of a type, over all its range, of floats from -2 to 3."""
    kind = np.dtype(dtype)
    if dtype == "bool":
        return levels >= 128
    if kind.kind == "f":
        return (levels.astype(np.float64) / 51 - 2).astype(kind)
    low = 0 if kind.kind == "u" else int(np.iinfo(kind).min)
    high = int(np.iinfo(kind).max)
    return np.array([low + (v * (high - low) + 127) // 255 for v in range(256)], kind)[levels]


def options() -> Iterator[Options]:
    orientations = itertools.cycle((1, 8, 2, 7, 3, 6, 4, 5))
    for dtype, photometric, planar, compression, predictor, layout, order, big in itertools.product(
        *(
            SCALED + STRETCHED,
            PHOTOMETRIC,
            ("contig", "separate"),
            (*BYTES, "webp", "jpegxl", "jpeg2000", "png", "lerc", "jpeg"),
        ),
        *((1, 2, 3), LAYOUTS, "<>", (False, True)),
    ):
        chosen = Options(
            *(dtype, photometric, planar, compression, predictor, layout, order, next(orientations), big)
        )
        if possible(chosen):
            yield chosen


def possible(o: Options) -> bool:
    """Whether the format knows this combination, and tifffile and imagecodecs can write it."""
    channels = {"rgb": 3, "rgba": 4, "associated": 4, "separated": 4}.get(o.photometric, 1)
    if channels == 1 and o.planar == "separate":
        return False
    if o.photometric == "palette" and o.dtype != "u1":
        return False
    if o.photometric in ("rgba", "associated", "separated") and o.dtype not in ("u1", "u2", "f4"):
        return False
    if o.dtype == "f4" and o.photometric in ("associated", "separated"):
        return False
    if o.dtype == "bool" and (channels > 1 or o.compression != "none" or o.layout == "tiles"):
        return False
    if o.compression not in BYTES and o.dtype != "u1" and o.order == ">":
        return False
    if o.predictor != 1 and (o.compression not in BYTES or o.compression == "none"):
        return False
    if (o.predictor == 3) != (o.dtype[0] == "f" and o.predictor != 1):
        return False
    if o.big and (o.compression not in ("none", "lzw") or o.predictor != 1):
        return False
    return {
        "webp": o.dtype == "u1" and o.photometric in ("rgb", "rgba") and o.planar == "contig",
        "jpegxl": o.dtype in ("u1", "u2", "f4") and o.photometric in ("minisblack", "miniswhite", "rgb"),
        "jpeg2000": o.dtype in ("u1", "u2") and o.photometric in ("minisblack", "rgb"),
        "png": o.layout != "tiles"
        and o.dtype in ("u1", "u2")
        and o.photometric in ("minisblack", "miniswhite", "rgb", "rgba"),
        "lerc": o.dtype in ("u1", "u2", "i1", "i2", "i4", "u4", "f4", "f8")
        and o.photometric in ("minisblack", "rgb"),
        "jpeg": o.dtype == "u1" and o.photometric in ("minisblack", "rgb", "miniswhite"),
    }.get(o.compression, True)


def written(o: Options) -> tuple[bytes, np.ndarray, float]:
    """The file, the picture it holds, and how far a level may be off."""
    expected = np.repeat(grey_picture()[..., None], 3, axis=-1)
    more: dict[str, object] = {"photometric": o.photometric}
    if o.photometric in ("minisblack", "miniswhite", "palette"):
        samples = stored(grey_picture(), o.dtype)
        if o.photometric == "miniswhite":
            expected = 255 - expected
        if o.photometric == "palette":
            colours = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2]).astype(np.uint16)
            more["colormap"] = colours * 257
            expected = colours.T.astype(np.uint8)[grey_picture()]
        if o.dtype == "bool":
            expected = np.repeat(np.where(samples, 255, 0)[..., None], 3, axis=-1)
            expected = 255 - expected if o.photometric == "miniswhite" else expected
    else:
        expected, samples = picture(), picture()
        if o.photometric == "separated":
            black = np.minimum.reduce(255 - picture(), axis=-1, keepdims=True) // 2
            samples = np.concatenate([255 - picture(), black], axis=-1)
            expected = np.asarray(Pil.fromarray(samples, "CMYK").convert("RGB"))
        if o.photometric in ("rgba", "associated"):
            alpha = (255 - grey_picture())[..., None].astype(np.int64)
            on_white = (picture() * alpha + 255 * (255 - alpha)) / 255
            expected = np.rint(on_white).astype(np.uint8)
            colours = picture() * alpha // 255 if o.photometric == "associated" else picture()
            samples = np.concatenate([colours, alpha], axis=-1).astype(np.uint8)
            more |= {
                "photometric": "rgb",
                "extrasamples": ["assocalpha" if "ass" in o.photometric else "unassalpha"],
            }
        samples = stored(samples, o.dtype)
        if o.dtype == "f4" and o.photometric == "rgba":
            samples = np.concatenate([samples[..., :3], alpha.astype(np.float32) / 255], axis=-1)
        if o.planar == "separate":
            samples = np.ascontiguousarray(np.moveaxis(samples, -1, 0))
        more["planarconfig"] = o.planar
    if o.compression in ("webp", "jpegxl", "jpeg2000"):
        more["compressionargs"] = {"lossless": True} if o.compression != "jpeg2000" else {"level": 0}
    if o.compression == "jpeg":
        more |= {"compressionargs": {"level": 98}, "subsampling": (1, 1)}
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        samples,
        compression=None if o.compression == "none" else o.compression,
        predictor=o.predictor if o.predictor != 1 else None,
        byteorder=o.order,
        bigtiff=o.big,
        extratags=[(274, 3, 1, o.orientation, True)],
        metadata=None,
        **LAYOUTS[o.layout],
        **more,
    )
    tolerance = 3 if o.dtype == "f2" else 12 if o.compression == "jpeg" else 1
    return stream.getvalue(), upright(expected, o.orientation), tolerance


def assert_read(o: Options) -> None:
    data, expected, tolerance = written(o)
    pixels = decode(data).pixels
    assert pixels.shape == expected.shape, o
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance, o


def test_a_spread_of_the_options_is_read() -> None:
    for chosen in itertools.islice(options(), 0, None, SPREAD):
        assert_read(chosen)


@pytest.mark.slow
def test_all_options_are_read() -> None:
    count = 0
    for chosen in options():
        assert_read(chosen)
        count += 1
    assert count > 2000


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 9, 10, 12, 14, 16, 24, 31])
def test_samples_of_any_number_of_bits_are_read(bits: int) -> None:
    for channels, photometric in ((1, 0), (1, 1), (3, 2), (1, 3)):
        levels = picture() if channels == 3 else grey_picture()[..., None]
        samples = levels.astype(np.int64) * (2**bits - 1) // 255
        right = np.rint(samples * (255 / (2**bits - 1)))
        tags = {}
        if photometric == 3:
            if bits > 8:
                continue
            colours = np.random.default_rng(bits).integers(0, 256, (3, 2**bits))
            right, tags = colours.T[samples[..., 0]], {320: (colours * 257).ravel().tolist()}
        right = np.broadcast_to(255 - right if photometric == 0 else right, (HEIGHT, WIDTH, 3))
        for order, compression, fill in (
            ("<", 1, 1),
            (">", 1, 1),
            ("<", 5, 1),
            (">", 8, 1),
            ("<", 1, 2),
            (">", 5, 2),
        ):
            raw = packed(samples, bits)
            raw = np.frombuffer(raw, ">u2").astype(order + "u2").tobytes() if bits == 16 else raw
            data = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.deflate_encode}[compression](raw)
            data = imagecodecs.bitorder_encode(data) if fill == 2 else data
            file = tiff(
                *(WIDTH, HEIGHT, [data], tags | {266: [fill]}),
                **{"bits": bits, "samples": channels, "photometric": photometric},
                **{"compression": compression, "order": order},
            )
            assert np.abs(decode(file).pixels - right).max() <= 1, (photometric, order, compression, fill)


PILLOW = {
    "1": (
        "raw",
        "tiff_lzw",
        "packbits",
        "tiff_adobe_deflate",
        "group3",
        "group4",
        "tiff_ccitt",
        "zstd",
        "lzma",
    ),
    "L": ("raw", "tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate", "tiff_deflate", "zstd", "lzma"),
    "LA": ("raw", "tiff_lzw", "tiff_adobe_deflate"),
    "P": ("raw", "tiff_lzw", "packbits"),
    "RGB": ("raw", "tiff_lzw", "jpeg", "packbits", "tiff_adobe_deflate", "zstd", "lzma"),
    "RGBA": ("raw", "tiff_lzw", "tiff_adobe_deflate", "zstd"),
    "RGBX": ("raw", "tiff_lzw"),
    "CMYK": ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate"),
    "YCbCr": ("raw", "jpeg"),
    "I;16": ("raw", "tiff_lzw"),
    "I": ("raw", "tiff_lzw"),
    "F": ("raw", "tiff_adobe_deflate"),
}


@pytest.mark.parametrize("mode", PILLOW)
def test_what_libtiff_writes_through_pillow_is_read(mode: str) -> None:
    if mode in ("I;16", "I", "F"):
        levels = grey_picture()
        whole = Pil.fromarray(
            {"I;16": levels * np.uint16(257), "I": levels.astype(np.int32), "F": levels / np.float32(9)}[mode]
        )
        expected = np.repeat(levels[..., None], 3, axis=-1)
    else:
        whole = Pil.fromarray(picture()).convert(mode)
        expected = np.asarray(whole.convert("RGB"))
    for compression, orientation in zip(PILLOW[mode], itertools.cycle((1, 6, 4, 7)), strict=False):
        stream = io.BytesIO()
        options = {"quality": 98} if compression == "jpeg" else {}
        whole.save(stream, "TIFF", compression=compression, tiffinfo={274: orientation, 278: 8}, **options)
        pixels = decode(stream.getvalue()).pixels
        right = upright(expected, orientation)
        assert pixels.shape == right.shape
        difference = np.abs(pixels.astype(int) - right)
        assert difference.mean() <= (4 if compression == "jpeg" else 0.5), compression
        assert difference.max() <= (70 if compression == "jpeg" else 1), compression


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("colour", [False, True])
def test_what_libtiff_writes_through_opencv_is_read(dtype: str, colour: bool) -> None:
    levels = picture() if colour else grey_picture()
    samples = stored(levels, dtype)
    for compression, predictor in ((1, 1), (5, 1), (5, 2), (8, 1), (8, 2)):
        flags = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
        flags += [cv2.IMWRITE_TIFF_ROWSPERSTRIP, 9]
        done, data = cv2.imencode(".tiff", samples[..., ::-1] if colour else samples, flags)
        assert done
        expected = levels if colour else np.repeat(levels[..., None], 3, axis=-1)
        assert np.abs(decode(data.tobytes()).pixels.astype(int) - expected).max() <= 1, (
            compression,
            predictor,
        )
