"""decode: every format's colours and orientation, and a reason, never a crash, for what is not a picture."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images import decode as decode_module
from lookalike.model.images.decode import decode
from lookalike.model.images.levels import PercentileWindow
from tests.support.image_files import FILES, HEIGHT, RGB, WIDTH, assert_flag, dicom_sample, saved


@pytest.mark.parametrize("name", FILES)
def test_colours_are_right_in_every_format(name: str) -> None:
    data, tolerance = FILES[name]
    image = decode(data)
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    assert_flag(image.pixels, tolerance)


@pytest.mark.parametrize("name", FILES)
def test_decoding_twice_and_in_threads_gives_the_same_pixels(name: str) -> None:
    data, _ = FILES[name]
    with ThreadPoolExecutor(4) as threads:
        results = [image.pixels for image in threads.map(decode, [data] * 8)]
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_min_side_gives_a_smaller_jpeg_and_its_full_size() -> None:
    exif = Pil.Exif()
    exif[0x0112] = 6
    data = saved(RGB.resize((403, 301)), "JPEG", exif=exif)
    for min_side, shape in {
        301: (403, 301),
        151: (403, 301),
        150: (202, 151),
        70: (101, 76),
        1: (51, 38),
    }.items():
        image = decode(data, min_side=min_side)
        assert image.pixels.shape == (*shape, 3)
        assert (image.width, image.height) == (301, 403)
    assert decode(FILES["png"][0], min_side=1).pixels.shape == (HEIGHT, WIDTH, 3)


def test_jpeg_that_libjpeg_only_warns_of_is_read() -> None:
    data = FILES["jpeg"][0]
    revision = data.index(b"JFIF\0") + 5
    assert_flag(decode(data[:revision] + b"\x07" + data[revision + 1 :]).pixels, 4)
    assert_flag(decode(data + b"trailing bytes").pixels, 4)


# --- what is not a picture


def test_what_is_not_read_is_told_by_its_name() -> None:
    with pytest.raises(ImageError, match=r"^a Photoshop file \(PSD\), which is not supported$"):
        decode(b"8BPS\0\1")


def bomb(name: str, width: int, height: int) -> bytes:
    """A small file whose header claims `width` x `height`."""
    data = bytearray(FILES[name][0])
    if name == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif name == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif name == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif name == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif name == "tiff":
        for tag, value in ((256, width), (257, height)):
            at = data.index(struct.pack("<HH", tag, 4 if struct.pack("<HH", tag, 4) in data else 3))
            data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    elif name == "webp animated":
        data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp", "tiff", "webp animated"])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_allocated(name: str) -> None:
    with pytest.raises(
        ImageError, match=r"^60000 x 60000 = 3,600,000,000 pixels, more than the limit of 100,"
    ):
        decode(bomb(name, 60000, 60000))


@pytest.mark.parametrize("name", FILES)
def test_the_size_limit_holds_for_every_format(name: str) -> None:
    data, _ = FILES[name]
    assert decode(data, max_pixels=WIDTH * HEIGHT).width == WIDTH
    with pytest.raises(ImageError, match="48 x 32 = 1,536 pixels, more than the limit of 1,535"):
        decode(data, max_pixels=WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "tiff"])
def test_a_picture_of_no_size_is_refused(name: str) -> None:
    with pytest.raises(ImageError):
        decode(bomb(name, 0, 32))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_in_every_format(name: str, kept: float) -> None:
    data, _ = FILES[name]
    # The first frame of an animation is whole after the first half.
    if "animated" in name and kept > 0.5:
        kept = 0.4
    with pytest.raises(ImageError) as caught:
        decode(data[: int(len(data) * kept)])
    assert len(str(caught.value)) < 200
    assert " at 0x" not in str(caught.value)


def assert_refused_or_read(data: bytes) -> None:
    try:
        image = decode(data, max_pixels=1_000_000)
    except ImageError:
        pass
    else:
        assert image.pixels.dtype == np.uint8
        assert image.pixels.shape == (image.height, image.width, 3)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    assert_refused_or_read(data)


FUZZED = {name: data for name, (data, _) in FILES.items()} | {
    "dicom": dicom_sample("SC_rgb_small_odd.dcm"),
    "dicom rle": dicom_sample("MR_small_RLE.dcm"),
    "dicom jpeg-ls": dicom_sample("MR_small_jpeg_ls_lossless.dcm"),
    "dicom jpeg 2000": dicom_sample("693_J2KI.dcm"),
}


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_and_cut_files_are_refused_or_read(draws: st.DataObject) -> None:
    damaged = bytearray(FUZZED[draws.draw(st.sampled_from(sorted(FUZZED)), label="file")])
    for _ in range(draws.draw(st.integers(1, 5), label="flips")):
        damaged[draws.draw(st.integers(0, len(damaged) - 1))] = draws.draw(st.integers(0, 255))
    assert_refused_or_read(bytes(damaged[: draws.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]))


def test_whatever_a_decoder_raises_becomes_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes, max_pixels: int, window: None) -> np.ndarray:
        raise LookupError("<_io.BytesIO object at 0x7f01> is odd\nsecond line")

    monkeypatch.setitem(decode_module.DECODERS, "GIF", fails)
    with pytest.raises(ImageError, match=r"^GIF cut short or corrupt: is odd$"):
        decode(FILES["gif"][0])


def test_a_window_of_percentiles_sees_also_what_will_be_cut_off() -> None:
    data = saved(RGB.resize((300, 900)), "JPEG", quality=95)
    window = PercentileWindow(5, 95)
    whole = decode(data, min_side=300, window=window).pixels
    np.testing.assert_array_equal(decode(data, min_side=300, middle=(224, 224), window=window).pixels, whole)
