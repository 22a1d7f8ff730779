"""OpenEXR files, written here byte by byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from lookalike.model.errors import ImageError, TooManyPixelsError
from lookalike.model.images.isolated import decode
from lookalike.model.images.levels import Window
from lookalike.model.images.open_exr import display_levels

RAMP = np.linspace(0, 1.5, 24 * 20, dtype=np.float32).reshape(20, 24)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
    return name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value


def exr(channels: dict[str, np.ndarray], version: int = 2) -> bytes:
    """An uncompressed OpenEXR file, a line of pixels in each block, channels in order of their names."""
    height, width = next(iter(channels.values())).shape
    kinds = {"float16": 1, "float32": 2, "uint32": 0}
    names = sorted(channels)
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iBxxxii", kinds[channels[name].dtype.name], 0, 1, 1)
        for name in names
    )
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = struct.pack("<II", 20000630, version)
    for name, kind, value in (
        (b"channels", b"chlist", listed + b"\0"),
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", box),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
        (b"screenWindowCenter", b"v2f", bytes(8)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    ):
        head += attribute(name, kind, value)
    head += b"\0"
    lines = [b"".join(channels[name][y].tobytes() for name in names) for y in range(height)]
    blocks = [struct.pack("<ii", y, len(line)) + line for y, line in enumerate(lines)]
    first = len(head) + 8 * height
    places = [first + y * len(blocks[0]) for y in range(height)]
    return head + struct.pack(f"<{height}Q", *places) + b"".join(blocks)


def of_colours(dtype: str = "float32", **more: np.ndarray) -> bytes:
    return exr({name: COLOURS[..., n].astype(dtype) for n, name in enumerate("RGB")} | more)


def test_light_is_shown_by_the_curve_of_srgb() -> None:
    light = np.array([-1, 0, 0.0031308, 0.5, 1, 7, np.inf, np.nan], np.float32)
    assert display_levels(light[None]).tolist() == [[0, 0, 10, 188, 255, 255, 255, 0]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_open_exr_holds_what_was_written(dtype: str) -> None:
    found = decode(of_colours(dtype))
    assert (found.width, found.height) == (24, 20)
    assert np.array_equal(found.pixels, display_levels(COLOURS.astype(dtype)))


def test_luminance_is_grey_and_alpha_lies_on_white() -> None:
    pixels = decode(exr({"Y": RAMP})).pixels
    assert np.array_equal(pixels, np.repeat(display_levels(RAMP)[..., None], 3, axis=-1))
    half = np.full(RAMP.shape, 0.5, np.float32)
    assert np.array_equal(decode(of_colours(A=half)).pixels, display_levels(COLOURS + 0.5))


def test_a_window_goes_to_the_light_itself() -> None:
    samples = (COLOURS * 1000).astype(np.float32)
    data = exr({name: samples[..., n] for n, name in enumerate("RGB")})
    assert np.array_equal(decode(data, window=Window(500, 1001)).pixels, Window(500, 1001).apply(samples))


def test_the_limit_of_pixels_is_that_of_the_header() -> None:
    with pytest.raises(TooManyPixelsError, match="24 x 20 = 480 pixels, more than the limit of 479"):
        decode(of_colours(), max_pixels=479)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (exr({"Z": RAMP}), "OpenEXR with the channels Z, of which no picture can be made"),
        (exr({"Y": RAMP.astype(np.uint32)}), "OpenEXR with the channels Y, of which no picture can be made"),
        (of_colours()[:60], "OpenEXR cut short or corrupt: its header does not end"),
        (
            exr({"Y": RAMP}, version=0x1002),
            "OpenEXR of several parts or with deep samples, which is not supported",
        ),
    ],
)
def test_what_is_no_such_picture_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=f"^{reason}$"):
        decode(data)


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
def test_a_file_that_is_cut_is_refused_before_it_ends_its_decoder(kept: float) -> None:
    data = of_colours()
    with pytest.raises(
        ImageError, match=r"OpenEXR cut short or corrupt: a block of lines is not within the file"
    ):
        decode(data[: int(len(data) * kept)])
