"""What strips and tiles hold: another size or kind inside, or damage, is refused, and never made up."""

from __future__ import annotations

import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from tests.support.image_files import RGB, assert_flag, flag, saved
from tests.support.places import ROOT
from tests.support.tiff_files import COMPRESSIONS, LAYOUTS, NOISE, places, tiff, written

CODECS = {
    34712: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0),
    34933: imagecodecs.png_encode,
    34887: imagecodecs.lerc_encode,
    50001: lambda pixels: imagecodecs.webp_encode(pixels, lossless=True),
    50002: lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True),
    7: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=98),
}


@pytest.mark.parametrize("compression", CODECS)
def test_a_picture_of_another_size_inside_is_refused(compression: int) -> None:
    for height, width in ((65, 48), (63, 48), (64, 49), (48, 64), (600, 600)):
        inside = np.zeros((height, width, 3), np.uint8)
        data = tiff(
            48, 64, [bytes(CODECS[compression](inside))], samples=3, photometric=2, compression=compression
        )
        with pytest.raises(ImageError, match=r"48 x 64|another picture"):
            decode(data)


@pytest.mark.parametrize("compression", CODECS)
def test_a_picture_of_other_samples_inside_is_refused(compression: int) -> None:
    inside = bytes(CODECS[compression](NOISE))
    for samples, bits, photometric in ((4, 8, 2), (3, 16, 2), (1, 8, 1)):
        if compression == 50001 and samples == 4:
            continue  # WebP leaves alpha out where all is opaque
        data = tiff(
            48, 64, [inside], samples=samples, bits=bits, photometric=photometric, compression=compression
        )
        with pytest.raises(ImageError):
            decode(data)


@pytest.mark.parametrize("compression", CODECS)
def test_edge_tiles_may_be_cut_where_the_picture_ends(compression: int) -> None:
    tiles = []
    for top in (0, 48):
        for left in (0, 32):
            tiles.append(
                bytes(CODECS[compression](np.ascontiguousarray(NOISE[top : top + 48, left : left + 32])))
            )
    tags = {322: [32], 323: [48]}
    pixels = decode(tiff(48, 64, tiles, tags, samples=3, photometric=2, compression=compression)).pixels
    assert np.abs(pixels.astype(int) - NOISE).mean() <= (60 if compression == 7 else 0)


@pytest.mark.parametrize("compression", [34887, 50001])
def test_segments_whose_lowest_bit_comes_first_are_turned_round(compression: int) -> None:
    """As libtiff writes them with every codec but those of faxes and JPEG."""
    inside = imagecodecs.bitorder_encode(bytes(CODECS[compression](NOISE)))
    data = tiff(48, 64, [inside], {266: [2]}, samples=3, photometric=2, compression=compression)
    assert np.array_equal(decode(data).pixels, NOISE)


def test_a_small_file_whose_codestream_claims_60000_pixels_a_side_is_refused_at_once() -> None:
    jpeg = bytearray(CODECS[7](NOISE))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60000, 60000)
    jpeg2000 = bytearray(imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k"))
    at = jpeg2000.index(b"\xff\x51") + 6
    jpeg2000[at : at + 8] = struct.pack(">II", 60000, 60000)
    for compression, inside in ((7, jpeg), (34712, jpeg2000)):
        data = tiff(48, 64, [bytes(inside)], samples=3, photometric=2, compression=compression)
        with pytest.raises(ImageError, match="holds a picture of 60000 x 60000"):
            decode(data)


# --- JPEG


@pytest.mark.parametrize("marker", [0xC0, 0xC2])
@pytest.mark.parametrize("where", [0.4, 0.7, 0.9])
def test_damaged_jpeg_is_refused(marker: int, where: float) -> None:
    jpeg = saved(RGB.resize((240, 160)), "JPEG", quality=90, progressive=marker == 0xC2)
    start = jpeg.index(b"\xff\xda")
    at = start + int(where * (len(jpeg) - start))
    for damaged in (jpeg[:at], jpeg[:at] + b"\xff\xd9", jpeg[:at] + b"\xff\xd0\xff\xd5" + jpeg[at:]):
        with pytest.raises(ImageError):
            decode(tiff(240, 160, [damaged], samples=3, photometric=6, compression=7))


def test_the_tag_says_what_the_colours_of_a_jpeg_are() -> None:
    rgb = bytearray(imagecodecs.jpeg8_encode(flag(), level=98, outcolorspace="RGB"))
    adobe = rgb.index(b"\xff\xee")
    del rgb[adobe : adobe + 16]
    frame, scan = rgb.index(b"\xff\xc0"), rgb.index(b"\xff\xda")
    for number in range(
        3
    ):  # components called 1, 2 and 3 are YCbCr to libjpeg, those called R, G and B are not
        rgb[frame + 10 + 3 * number] = rgb[scan + 5 + 2 * number] = number + 1
    assert_flag(decode(tiff(48, 32, [bytes(rgb)], samples=3, photometric=2, compression=7)).pixels, 6)
    ycbcr = imagecodecs.jpeg8_encode(flag(), level=98, subsampling="444")
    jfif = ycbcr.index(b"JFIF") - 4
    bare = ycbcr[:jfif] + ycbcr[jfif + 18 :]
    for inside, photometric in ((ycbcr, 6), (bare, 6), (ycbcr, 2)):
        assert_flag(
            decode(tiff(48, 32, [inside], samples=3, photometric=photometric, compression=7)).pixels, 6
        )


def test_jpeg_of_12_bits_and_lossless_jpeg_are_read_and_need_their_end() -> None:
    flat = np.ascontiguousarray(NOISE[..., 0])
    grey = (flat.astype(np.uint16) << 8) | 7
    deep = imagecodecs.jpeg8_encode(grey, lossless=True, bitspersample=16)
    assert np.array_equal(
        decode(tiff(48, 64, [deep], bits=16, compression=7)).pixels[..., 0], (grey.astype(int) + 128) // 257
    )
    lossless = imagecodecs.jpeg8_encode(flat, lossless=True)
    assert np.array_equal(decode(tiff(48, 64, [lossless], compression=7)).pixels[..., 0], flat)
    for inside, bits in ((deep, 16), (lossless, 8)):
        with pytest.raises(ImageError):
            decode(tiff(48, 64, [inside[: len(inside) // 2]], bits=bits, compression=7))


def test_old_jpeg_is_read_where_the_file_holds_a_whole_one() -> None:
    jpeg = saved(RGB, "JPEG", quality=95, subsampling=0)
    tags = {513: [0], 514: [len(jpeg)]}
    plain = tiff(48, 32, [jpeg], tags, samples=3, photometric=6, compression=6)
    start = plain.index(jpeg)
    # The strip is the data behind the headers, as its writers meant it.
    scan = start + jpeg.index(b"\xff\xda") + 14
    tags |= {513: [start], 273: [scan], 279: [start + len(jpeg) - scan]}
    assert_flag(decode(tiff(48, 32, [jpeg], tags, samples=3, photometric=6, compression=6)).pixels, 4)
    del tags[513], tags[514]
    tags[273] = [scan - 24]  # as far as two tags of 12 bytes
    with pytest.raises(ImageError, match=r"its tables elsewhere \(OJPEG\), which is not supported"):
        decode(tiff(48, 32, [jpeg], tags, samples=3, photometric=6, compression=6))


# --- the same each time

DAMAGED = """
import sys, hashlib
import numpy as np
from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from tests.model.images.test_tiff_codecs import damaged_files
fill = int(sys.argv[1])
for data in damaged_files(int(sys.argv[2])):
    held = [np.full(1 << size, fill, np.uint8) for size in range(4, 21) for _ in range(3)]
    del held
    try:
        print(hashlib.sha256(decode(data, max_pixels=10**6).pixels.tobytes()).hexdigest())
    except ImageError as error:
        print(error)
"""


def damaged_files(count: int) -> list[bytes]:
    """Files of every compression with some bytes of their strips and tiles changed, the same for each caller."""
    noise = np.random.default_rng(3)
    files = [
        written(compression, **layout) for compression in (*COMPRESSIONS, "jpeg") for layout in LAYOUTS[1:]
    ]
    for name in ("group3", "group4", "tiff_ccitt"):
        files.append(saved(RGB.resize((480, 320)).convert("1"), "TIFF", compression=name, tiffinfo={278: 64}))
    for name in ("jpeg", "tiff_lzw"):
        files.append(saved(RGB.resize((480, 320)), "TIFF", compression=name))
    damaged = []
    for number in range(count):
        data = bytearray(files[number % len(files)])
        for _ in range(noise.integers(1, 4)):
            offset, length = places(bytes(files[number % len(files)]))[0]
            at = offset + int(noise.integers(length))
            data[at] ^= int(noise.integers(1, 256))
        damaged.append(bytes(data))
    return damaged


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_files_give_the_same_in_two_processes_whatever_their_memory_held(count: int) -> None:
    told = []
    for fill in (0, 255):
        command = [sys.executable, "-c", DAMAGED, str(fill), str(count)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        told.append(done.stdout.splitlines())
    assert len(told[0]) == count
    assert told[0] == told[1]
    assert any(line.startswith("TIFF") for line in told[0])


def test_the_predictor_of_what_is_not_compressed_does_not_count() -> None:
    data = tiff(48, 64, [NOISE.tobytes()], {317: [2]}, samples=3, photometric=2)
    assert np.array_equal(decode(data).pixels, NOISE)
