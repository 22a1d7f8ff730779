"""jpeg: which file goes to which decoder, and which of libjpeg's warnings lose a picture."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import simplejpeg

from lookalike.model.errors import ImageError
from lookalike.model.images import jpeg
from lookalike.model.images.decode import decode, decode_common
from tests.support.image_files import RGB, assert_flag, photograph, saved

BASE = saved(RGB, "JPEG", quality=95, subsampling=0)
PROGRESSIVE = saved(RGB, "JPEG", quality=95, subsampling=0, progressive=True)
SOF, SOS = BASE.index(b"\xff\xc0"), BASE.index(b"\xff\xda")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def common(data: bytes, **options: int) -> object:
    return decode_common(data, **{"max_pixels": 10**8, "min_side": None, "window": None, **options})  # type: ignore[arg-type]


# --- which decoder


def test_a_lossless_jpeg_is_never_reduced() -> None:
    pixels = photograph(64, 96)
    for samples, expected in ((pixels, pixels), (pixels[..., 0], np.repeat(pixels[..., :1], 3, axis=-1))):
        data = imagecodecs.jpeg8_encode(np.ascontiguousarray(samples), lossless=True)
        assert jpeg.header(data).process == 3
        assert common(data, min_side=4) is None
        assert np.abs(decode(data, min_side=4).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("colour", [False, True])
def test_deep_jpegs_are_scaled_by_their_bits(bits: int, colour: bool) -> None:
    pixels = photograph(64, 96) if colour else photograph(64, 96)[..., 0]
    deep = (pixels.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    lossless = bits != 12
    data = imagecodecs.jpeg8_encode(deep, level=98, subsampling="444", bitspersample=bits, lossless=lossless)
    found = decode(data).pixels.astype(int)
    assert np.abs(found - (pixels if colour else pixels[..., None])).mean() < 2
    with pytest.raises(ImageError, match="ends before its pixels"):
        decode(data[: len(data) * 9 // 10])


def test_jpeg_ls_is_read() -> None:
    pixels = photograph(64, 96)
    assert np.array_equal(decode(imagecodecs.jpegls_encode(pixels)).pixels, pixels)
    assert jpeg.header(imagecodecs.jpegls_encode(pixels)).process == 55


@pytest.mark.parametrize("process", [5, 6, 7, 11, 13, 14, 15])
def test_a_process_that_nobody_reads_is_named(process: int) -> None:
    data = BASE[: SOF + 1] + bytes([0xC0 + process]) + BASE[SOF + 2 :]
    name = "lossless and arithmetic-coded" if process == 11 else "hierarchical"
    with pytest.raises(ImageError, match=f"^a {name} JPEG, which is not supported$"):
        decode(data)


def test_a_lossless_jpeg_of_ycbcr_is_named() -> None:
    jpeg = bytes(imagecodecs.jpeg8_encode(photograph(64, 96), lossless=True))
    jfif = jpeg[:2] + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + jpeg[2:]
    with pytest.raises(ImageError, match=r"^a lossless JPEG of YCbCr, which is not supported$"):
        decode(jfif)


def test_a_hierarchy_is_named_though_its_first_frame_is_a_usual_one() -> None:
    smaller = struct.unpack(">BHHB", BASE[SOF + 4 : SOF + 10])
    whole = struct.pack(">BHHB", 8, 2 * smaller[1], 2 * smaller[2], 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    with pytest.raises(ImageError, match=r"^a hierarchical JPEG, which is not supported$"):
        decode(BASE[:SOF] + segment(0xDE, whole) + BASE[SOF:])


@pytest.mark.parametrize(("components", "bits"), [(2, 8), (5, 8), (4, 12)])
def test_a_number_of_components_that_is_no_colour_is_named(components: int, bits: int) -> None:
    frame = struct.pack(">BHHB", bits, 32, 48, components) + b"\1\x11\0" * components
    with pytest.raises(ImageError, match=f"^a JPEG of {components} components of {bits} bits"):
        decode(b"\xff\xd8" + segment(0xC0, frame) + segment(0xDA, bytes(10)) + b"\xff\xd9")


def test_a_progressive_file_of_very_many_scans_goes_where_time_is_limited() -> None:
    first = PROGRESSIVE.rindex(b"\xff\xda")
    bomb = PROGRESSIVE[:-2] + PROGRESSIVE[first:-2] * 120 + b"\xff\xd9"
    assert common(PROGRESSIVE) is not None
    assert common(bomb) is None
    # The letters of a scan in a comment are none.
    assert common(PROGRESSIVE[:2] + segment(0xFE, b"\xff\xda" * 500) + PROGRESSIVE[2:]) is not None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
def test_usual_files_are_read_by_the_fast_decoder(subsampling: str, options: dict) -> None:
    image = common(saved(RGB, "JPEG", quality=95, subsampling=subsampling, **options))
    assert_flag(image.pixels, 12)  # type: ignore[attr-defined]


ODD = base64.b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV015{O2nPlV2nYxZ3JMDj7!VE(4GtX@77-XDA0;FrA0i<pD>pADDKse|A}~QQG&wsy"
    "K0YNbL`g$DNH;w`JOA4NLjej43l0qq91sv3J18P3J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&J3Bi&"
    "J3Bi&J3Ift01*fP5C9MZ0TBQKAprvt0sq7R6aWDL000000000000000000F4!~h)-009CA0000000000000000Rj;K1qKo!"
    "BQgKP02ToO0RaF20000000000000051P1@a03;Cr0Rsa82><{9000000000100IO91rhKeF)~3>fsw({|Jncy0|5X65d#qb"
    "KL8w}loqF3AaFKJTrMMqD?6V<?}T-E)SB$pd3*W|U~6Jh%`bD7X3r-i4ncqa*#"
)
"""16 x 16, by `cjpeg -sample 1x1,2x1,1x2`: blue has more columns than the brightness, red more rows."""


def test_odd_subsampling_is_read() -> None:
    assert common(ODD) is None
    pixels = decode(ODD).pixels
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.mean((0, 1)) - (115, 110, 125)).max() < 2
    for kept in range(ODD.index(b"\xff\xda") + 20, len(ODD) - 12, 7):
        with pytest.raises(ImageError, match="ends before its last block"):
            decode(ODD[:kept] + b"\xff\xd9")


# --- warnings


def test_every_warning_of_libjpeg_is_classed() -> None:
    """The list is that of jerror.h of libjpeg-turbo 3.1: JWRN_, without Windows bitmaps."""
    library = next(Path(simplejpeg.__file__).parent.glob("*.so")).read_bytes()
    for words in (*jpeg.HARMLESS, *jpeg.DAMAGE):
        assert words.encode() in library, words
    assert len(jpeg.HARMLESS) + len(jpeg.DAMAGE) == 12


JFIF = BASE.index(b"JFIF\0")
HARMLESS = {
    "bad ICC": BASE[:2] + segment(0xE2, b"ICC_PROFILE\0\3\1profile") + BASE[2:],
    "empty ICC": BASE[:2] + segment(0xE2, b"ICC_PROFILE\0") + BASE[2:],
    "ICC twice": BASE[:2] + segment(0xE2, b"ICC_PROFILE\0\1\1profile") * 2 + BASE[2:],
    "junk between segments": BASE[:SOF] + b"junk" + BASE[SOF:],
    "zeros between segments": BASE[:2] + bytes(70_000) + BASE[2:],
    "JFIF of the future": BASE[: JFIF + 5] + b"\x09" + BASE[JFIF + 6 :],
    "Adobe's unknown transform": BASE[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\7") + BASE[2 + 18 :],
    "scan of a progressive file": BASE[: SOS + 11] + b"\0\0\0" + BASE[SOS + 14 :],
    "padding": BASE[:-2] + bytes(40_000) + BASE[-2:],
    "a few bytes behind the last block": BASE[:-2] + bytes(range(100)) + BASE[-2:],
    "bytes behind the end": BASE + b"\xff\xd8 and so on",
    "letters of a marker in a comment": BASE[:2]
    + segment(0xFE, b"\xff\xc3\xff\xda\xff\xd9Exif\0\0")
    + BASE[2:],
    "height behind the pixels": BASE[: SOF + 5]
    + b"\0\0"
    + BASE[SOF + 7 : -2]
    + b"\xff\xdc\0\4\0\x20"
    + BASE[-2:],
    "padding of a progressive scan": PROGRESSIVE[:-2] + bytes(100) + PROGRESSIVE[-2:],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_side_data_loses_no_picture_and_hides_no_damage(name: str) -> None:
    data = HARMLESS[name]
    assert_flag(common(data).pixels, 5)  # type: ignore[attr-defined]
    image = common(data, min_side=8)
    assert image.pixels.shape == (8, 12, 3)  # type: ignore[attr-defined]
    assert (image.width, image.height) == (48, 32)  # type: ignore[attr-defined]
    end = data.rindex(b"\xff\xd9")
    if "behind the" not in name and "padding" not in name:
        for cut in (data[: end - 30], data[: end - 30] + data[end:]):
            with pytest.raises(ImageError, match="JPEG cut short or corrupt"):
                decode(cut)


def test_a_scan_that_lost_its_place_is_no_padding() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 3000).astype(np.uint8).tobytes().replace(b"\xff", b"\0")
    with pytest.raises(ImageError, match="extraneous bytes"):
        decode(BASE[:-2] + noise + BASE[-2:])


@pytest.mark.parametrize("data", [BASE, PROGRESSIVE, saved(RGB.convert("CMYK"), "JPEG")])
def test_wherever_a_file_is_cut_it_is_refused(data: bytes) -> None:
    for end in range(2, len(data) - 1):
        with pytest.raises(ImageError):
            decode(data[:end])


def test_segments_without_end_take_no_memory_and_little_time() -> None:
    for filler in (b"\xff\xfe\0\2", b"\xff", b"\xff\xd0", b"\xff\0"):
        with pytest.raises(ImageError, match="ends before its pixels"):
            decode(b"\xff\xd8" + filler * (8_000_000 // len(filler)))


# --- EXIF


def test_exif_is_found_wherever_it_stands() -> None:
    exif = saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")
    start = exif.index(b"\xff\xe1")
    block = exif[start : start + 2 + int.from_bytes(exif[start + 2 : start + 4], "big")]
    for before in (b"", segment(0xE2, bytes(65_000)) * 3, segment(0xFE, b"Exif\0\0II*\0")):
        image = decode(BASE[:2] + before + block + BASE[2:])
        assert (image.width, image.height) == (32, 48)
    assert decode(BASE[:SOS] + segment(0xFE, block) + BASE[SOS:]).width == 48
