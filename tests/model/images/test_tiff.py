"""Which page of a TIFF is read, what its samples mean, and what is refused by name. Options: test_tiff_options.py."""

from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.levels import PercentileWindow, Window
from tests.support.image_files import COLOURS, HEIGHT, WIDTH, assert_flag, flag
from tests.support.tiff_files import tiff

SMALL = np.zeros((8, 8, 3), np.uint8)


def saved(*pages: tuple[np.ndarray, dict[str, object]], **options: object) -> bytes:
    """A file of one page for each (samples, options of tifffile)."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, **options) as writer:
        for samples, chosen in pages:
            writer.write(samples, **{"metadata": None, "contiguous": False} | chosen)
    return stream.getvalue()


# --- which page


@pytest.mark.parametrize("kind", [1, 4])
def test_a_thumbnail_or_a_mask_in_front_is_passed_over(kind: int) -> None:
    data = saved((SMALL, {"subfiletype": 1, "photometric": "rgb"}), (flag(), {"photometric": "rgb"}))
    entry = struct.pack("<HHII", 254, 4, 1, 1)
    assert data.count(entry) == 1
    assert_flag(decode(data.replace(entry, struct.pack("<HHII", 254, 4, 1, kind))).pixels, 0)


def test_the_full_picture_may_lie_below_a_thumbnail() -> None:
    data = saved(
        (SMALL, {"subfiletype": 1, "photometric": "rgb", "subifds": 1}), (flag(), {"photometric": "rgb"})
    )
    assert_flag(decode(data).pixels, 0)


def test_a_pyramid_below_the_picture_is_passed_over() -> None:
    data = saved(
        (flag(), {"photometric": "rgb", "subifds": 1}), (SMALL, {"subfiletype": 1, "photometric": "rgb"})
    )
    assert_flag(decode(data).pixels, 0)


def test_a_file_of_nothing_but_a_thumbnail_is_read() -> None:
    assert_flag(decode(saved((flag(), {"subfiletype": 1, "photometric": "rgb"}))).pixels, 0)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {}], ids=["imagej", "ome", "shaped"])
def test_of_a_stack_the_first_slice_is_read_and_the_others_are_not_loaded(options: dict[str, bool]) -> None:
    stack = np.stack([np.full((256, 256), 257 * level, np.uint16) for level in range(10, 90)])
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, photometric="minisblack", **options)
    data = stream.getvalue()
    decode(data)
    tracemalloc.start()
    try:
        pixels = decode(data).pixels
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels.shape == (256, 256, 3)
    assert (pixels == 10).all()
    assert most < 256 * 256 * 30


def test_of_a_volume_in_one_page_the_first_slice_is_read() -> None:
    volume = np.stack([np.full((32, 48), level, np.uint8) for level in (30, 60, 90)])
    data = saved((volume, {"volumetric": True, "photometric": "minisblack", "tile": (1, 16, 16)}))
    assert (decode(data).pixels == 30).all()
    deep = saved((volume, {"volumetric": True, "photometric": "minisblack", "tile": (16, 16, 16)}))
    with pytest.raises(ImageError, match="more than one slice deep, which is not supported"):
        decode(deep)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_beyond_the_colour_are_left_out(planar: str) -> None:
    channels = np.stack([np.full((20, 30), level, np.uint8) for level in (30, 60, 90, 120, 150)])
    samples = channels if planar == "separate" else np.moveaxis(channels, 0, -1)
    options = {"planarconfig": planar, "photometric": "minisblack", "extrasamples": [0] * 4}
    assert (decode(saved((np.ascontiguousarray(samples), options))).pixels == 30).all()
    options |= {"photometric": "rgb", "extrasamples": [0, "unassalpha"]}
    expected = [round(level * 120 / 255 + 255 * 135 / 255) for level in (30, 60, 90)]
    channels[4] = 120
    samples = channels if planar == "separate" else np.moveaxis(channels, 0, -1)
    pixels = decode(saved((np.ascontiguousarray(samples), options))).pixels
    assert np.abs(pixels.astype(int) - expected).max() <= 1


# --- what samples mean


@pytest.mark.parametrize("photometric", [None, 1])
def test_alpha_that_is_not_declared_is_alpha_where_there_is_one_sample_more(photometric: int | None) -> None:
    grey = tiff(2, 1, [bytes([100, 255, 100, 0])], samples=2, photometric=1)
    assert decode(grey).pixels[..., 0].tolist() == [[100, 255]]
    colour = tiff(2, 1, [bytes([100, 90, 80, 255, 1, 2, 3, 0])], samples=4, photometric=photometric and 2)
    if photometric:
        assert decode(colour).pixels.tolist() == [[[100, 90, 80], [255, 255, 255]]]
    unspecified = tiff(1, 1, [bytes([100, 90, 80, 0])], {338: [0]}, samples=4, photometric=2)
    assert decode(unspecified).pixels.tolist() == [[[100, 90, 80]]]


def test_a_missing_photometric_tag_is_guessed_as_libtiff_does() -> None:
    assert decode(tiff(1, 1, [b"\x40"], photometric=None)).pixels.tolist() == [[[64, 64, 64]]]
    assert decode(tiff(1, 1, [b"\x40\x50\x60"], samples=3, photometric=None)).pixels.tolist() == [
        [[64, 80, 96]]
    ]


@pytest.mark.parametrize("subsampling", [None, (1, 1), (2, 1), (2, 2), (4, 2), (1, 2)])
@pytest.mark.parametrize("compressed", [False, True])
def test_ycbcr_is_read_with_colours_that_pixels_share(
    subsampling: tuple[int, int] | None, compressed: bool
) -> None:
    across, down = subsampling or (2, 2)
    ycbcr = np.asarray(Pil.fromarray(flag()).convert("YCbCr"))
    # Of a height that is no multiple of 4, and in two strips.
    ycbcr = ycbcr[: HEIGHT - 3]
    strips = []
    for top in (0, 16):
        rows = np.pad(
            ycbcr[top : top + 16], ((0, -len(ycbcr[top : top + 16]) % down), (0, 0), (0, 0)), "edge"
        )
        blocks = rows.reshape(len(rows) // down, down, WIDTH // across, across, 3).transpose(0, 2, 1, 3, 4)
        luma = blocks[..., 0].reshape(*blocks.shape[:2], -1)
        strips.append(np.concatenate([luma, blocks[:, :, 0, 0, 1:]], axis=-1).tobytes())
    if compressed:
        from imagecodecs import lzw_encode

        strips = [lzw_encode(strip) for strip in strips]
    tags = {530: None if subsampling is None else [across, down]}
    options = {"samples": 3, "photometric": 6, "rows": 16, "compression": 5 if compressed else 1}
    pixels = decode(tiff(WIDTH, HEIGHT - 3, strips, tags, **options)).pixels
    for y, x, colour in ((7, 11, "top_left"), (7, 37, "top_right"), (24, 24, "bottom")):
        assert np.abs(pixels[y, x].astype(int) - COLOURS[colour]).max() <= 2


def test_lab_and_inks_are_colours() -> None:
    assert decode(tiff(1, 1, [bytes([255, 0, 0])], samples=3, photometric=8)).pixels.tolist() == [[[255] * 3]]
    assert decode(tiff(1, 1, [bytes([0, 128, 128])], samples=3, photometric=9)).pixels.tolist() == [[[0] * 3]]
    ink = decode(tiff(1, 1, [bytes([255, 0, 0, 0])], samples=4, photometric=5)).pixels
    assert ink.tolist() == [[[0, 255, 255]]]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("colour", [False, True])
def test_not_a_number_is_no_level(dtype: str, colour: bool) -> None:
    values = np.array([[1000, np.nan], [1150, 1200]], dtype)
    samples = np.stack([values] * 3, axis=-1) if colour else values
    data = saved((samples, {"photometric": "rgb" if colour else "minisblack"}))
    assert decode(data).pixels[..., 0].tolist() == [[16, 0], [195, 255]]
    values[...] = np.nan
    assert decode(saved((values, {"photometric": "minisblack"}))).pixels.max() == 0


def test_infinity_is_an_end_and_no_level() -> None:
    values = np.array([[-np.inf, 0, 1], [2, np.inf, 1]], np.float32)
    assert decode(saved((values, {}))).pixels[..., 0].tolist() == [[0, 0, 128], [255, 255, 128]]


@pytest.mark.parametrize("premultiplied", [False, True])
def test_a_window_is_laid_on_deep_colours_behind_their_alpha(premultiplied: bool) -> None:
    samples = np.zeros((1, 2, 4), np.uint16)
    samples[0, 1] = 1000, 2000, 0, 65535
    kind = "assocalpha" if premultiplied else "unassalpha"
    data = saved((samples, {"photometric": "rgb", "extrasamples": [kind]}))
    assert decode(data, window=Window(1000, 2001)).pixels.tolist() == [[[255] * 3, [128, 255, 0]]]


def test_a_window_is_laid_on_other_pictures_when_they_are_rgb() -> None:
    data = tiff(2, 1, [bytes([0b10000000])], bits=1)
    assert decode(data, window=Window(128, 256)).pixels[..., 0].tolist() == [[255, 0]]
    data = tiff(2, 1, [bytes([0b01000000])], {320: [0, 257 * 50] * 3}, photometric=3, bits=1)
    assert decode(data, window=Window(50, 101)).pixels[..., 0].tolist() == [[1, 129]]


@pytest.mark.parametrize("window", [None, Window(128, 256), PercentileWindow(1, 99)])
def test_the_pixels_are_the_callers_own(window: Window | None) -> None:
    for data in (tiff(2, 1, [bytes(6)], samples=3, photometric=2), tiff(2, 1, [bytes(2)], photometric=0)):
        pixels = decode(data, window=window).pixels
        pixels[...] = 7
        assert pixels.flags.c_contiguous


# --- what is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(4, 4, [bytes(16)], compression=34661), "TIFF compressed as JBIG, which is not supported"),
        (tiff(4, 4, [bytes(16)], compression=34676), "TIFF compressed as SGILOG, which is not supported"),
        (tiff(4, 4, [bytes(16)], compression=34934), "TIFF compressed as JPEGXR, which is not supported"),
        (tiff(4, 4, [bytes(16)], compression=4242), "TIFF compressed as 4242, which is not supported"),
        (tiff(4, 4, [bytes(32)], bits=16, photometric=32803), "a raw photograph in a TIFF (DNG, NEF, ARW"),
        (tiff(4, 4, [bytes(48)], samples=3, photometric=32845), "of the kind LOGLUV, which is not supported"),
        (tiff(4, 4, [bytes(16)], photometric=4), "of the kind MASK, which is not supported"),
        (tiff(4, 4, [bytes(64)], {332: [2]}, samples=4, photometric=5), "of the kind SEPARATED"),
        (tiff(4, 4, [bytes(128)], {339: [6]}, bits=64), "64-bit samples of type COMPLEXIEEEFP"),
        (tiff(4, 4, [bytes(32)], {258: [5, 6, 5]}, samples=3, photometric=2), "samples of (5, 6, 5) bits"),
        (tiff(4, 4, [bytes(32)], samples=2, photometric=2), "2 samples a pixel, 3 needed"),
        (tiff(4, 4, [b"\xe9\0"], {317: [2]}, bits=12, compression=32773), "12 bits with predictor 2"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert reason in str(caught.value)


def test_a_tile_far_larger_than_the_picture_is_refused_before_it_is_decompressed() -> None:
    from imagecodecs import deflate_encode

    tile = deflate_encode(bytes(100_000))
    data = tiff(1, 1, [tile], {322: [60000], 323: [60000]}, compression=8)
    with pytest.raises(
        ImageError, match="would take 3,600,000,000 bytes each, for a picture of 1 x 1 pixels"
    ):
        decode(data)
    many = tiff(100, 100, [tile], samples=60000, compression=8, tags={258: [8]})
    with pytest.raises(ImageError, match="would take 600,000,000 bytes each"):
        decode(many)


def test_nothing_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError):
        decode(tiff(4, 4, [], {273: None, 279: None}))
    assert capfd.readouterr() == ("", "")


def test_an_orientation_of_another_type_or_of_several_values_counts() -> None:
    data = saved((np.rot90(flag()), {"photometric": "rgb", "extratags": [(274, 3, 1, 6, True)]}))
    short = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    assert data.count(short) == 1
    for other in (struct.pack("<HHIBxxx", 274, 1, 1, 6), struct.pack("<HHIHH", 274, 3, 2, 6, 6)):
        assert_flag(decode(data.replace(short, other)).pixels, 0)
