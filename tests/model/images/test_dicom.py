"""DICOM through decode: every compression, its size and its damage. Windows on DICOM are in test_windows.py."""

from __future__ import annotations

import io
import resource
import struct
import tracemalloc

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from tests.support.dicom_files import deflated, dicom_file
from tests.support.image_files import dicom_sample

PIXELS = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 3 << 30)
"""The head of an element that claims 3 GiB of pixels."""


@pytest.mark.parametrize(
    ("name", "size"),
    {
        "CT_small.dcm": (128, 128),
        "MR_small_RLE.dcm": (64, 64),
        "MR_small_bigendian.dcm": (64, 64),
        "MR_small_jpeg_ls_lossless.dcm": (64, 64),
        "JPEG-lossy.dcm": (1024, 256),
        "JPEG2000.dcm": (1024, 256),
        "SC_rgb_rle_2frame.dcm": (100, 100),
        "SC_rgb_jpeg_dcmtk.dcm": (100, 100),
        "SC_rgb_rle_16bit.dcm": (100, 100),
        "SC_ybr_full_422_uncompressed.dcm": (100, 100),
        "image_dfl.dcm": (512, 512),
        "examples_palette.dcm": (350, 800),
    }.items(),
)
def test_dicom_is_read_in_every_compression(name: str, size: tuple[int, int]) -> None:
    image = decode(dicom_sample(name))
    assert (image.height, image.width) == size
    assert image.pixels.shape == (*size, 3)
    assert image.pixels.min() < 16
    assert image.pixels.max() > 200


def test_dicom_compressed_by_jpeg_ls_is_the_same_as_raw() -> None:
    assert np.array_equal(
        decode(dicom_sample("MR_small.dcm")).pixels,
        decode(dicom_sample("MR_small_jpeg_ls_lossless.dcm")).pixels,
    )


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_dicom_with_black_as_its_greatest_value_is_inverted(name: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom_sample(name)))
    normal = decode(dicom_sample(name)).pixels
    dataset.PhotometricInterpretation = "MONOCHROME1"
    stream = io.BytesIO()
    dataset.save_as(stream)
    inverted = 255 - decode(stream.getvalue()).pixels.astype(int)
    assert np.abs(inverted - normal).max() <= 1


def test_a_rescaling_that_turns_light_to_dark_is_followed() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert decode(dicom_file(grey, RescaleSlope="2", RescaleIntercept="-5")).pixels[0, 0, 0] == 0
    assert decode(dicom_file(grey, RescaleSlope="-2", RescaleIntercept="9")).pixels[0, 0, 0] == 255
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], [60000 - 200 * value for value in range(256)]
    table["LUTDescriptor"].VR, table["LUTData"].VR, table.ModalityLUTType = "US", "US", "OD"
    pixels = decode(dicom_file(grey, ModalityLUTSequence=[table])).pixels
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (255, 0)


def test_a_slope_that_cannot_be_is_no_reason_to_lose_a_picture_without_a_window() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert decode(dicom_file(grey, RescaleSlope="0")).pixels[-1, -1, 0] == 255


@pytest.mark.parametrize(
    ("syntax", "named"),
    [("1.2.840.10008.1.2.4.110", "JPEG XL"), ("1.2.840.113619.5.2", "1.2.840.113619.5.2")],
)
def test_a_syntax_that_pydicom_does_not_know_is_called_by_its_name(syntax: str, named: str) -> None:
    data = dicom_file([bytes(100)], "1.2.840.10008.1.2.4.201", size=(4, 4))
    data = data.replace(b"1.2.840.10008.1.2.4.201\0", syntax.encode().ljust(24, b"\0"))
    with pytest.raises(ImageError, match=f"^DICOM compressed as {named}, which is not supported$"):
        decode(data)


@pytest.mark.parametrize("name", ["rtplan.dcm", "MR_truncated.dcm"])
def test_dicom_without_whole_pixels_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="DICOM"):
        decode(dicom_sample(name))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_the_size_limit_holds_for_dicom(name: str) -> None:
    with pytest.raises(ImageError, match="more than the limit of 100"):
        decode(dicom_sample(name), max_pixels=100)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_dicom_is_refused(name: str, kept: float) -> None:
    data = dicom_sample(name)
    with pytest.raises(ImageError):
        decode(data[: int(len(data) * kept)])


def test_a_dicom_that_claims_four_gigabytes_of_compressed_pixels_takes_no_more_than_it_has() -> None:
    data = bytearray(dicom_sample("MR_small_jpeg_ls_lossless.dcm"))
    length = data.index(b"\xe0\x7f\x10\x00OW") + 8
    assert data[length : length + 4] == b"\xff" * 4
    data[length + 2] = 128
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(bytes(data)).pixels.shape == (64, 64, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_of_many_frames_no_more_than_the_first_is_loaded() -> None:
    frames = np.zeros((40, 256, 256), np.uint16)
    frames[0, 0, 0] = 9
    for data in (dicom_file(frames), dicom_file(frames, pydicom.uid.DeflatedExplicitVRLittleEndian)):
        decode(data)
        tracemalloc.start()
        try:
            pixels = decode(data).pixels
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert pixels[0, 0].tolist() == [255] * 3
        assert most < (2 << 20) + (20 << 20) * (len(data) < 1 << 20)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (PIXELS, "3,221,225,472 bytes of pixels, 8,193 at most for its frames"),
        (struct.pack("<HH2sHI", 0x0009, 0x0010, b"OB", 0, 3 << 30), "DICOM without a picture"),
    ],
    ids=["pixels", "private"],
)
def test_a_deflated_file_that_inflates_to_gigabytes_is_refused_in_little_memory(
    start: bytes, reason: str
) -> None:
    data = deflated(dicom_file(np.zeros((1, 64, 64), np.uint16)), start, *[bytes(1 << 24)] * 8)
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=reason):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_a_deflated_picture_that_is_too_large_is_refused_by_its_header() -> None:
    data = deflated(
        dicom_file(np.zeros((1, 4, 4), np.uint16), Rows=60000, Columns=60000), PIXELS, bytes(1 << 20)
    )
    with pytest.raises(ImageError, match="3,600,000,000 pixels, more than the limit"):
        decode(data)


def test_sequences_nested_a_thousand_deep_are_told_so() -> None:
    data = dicom_file(np.arange(16, dtype=np.uint8).reshape(1, 4, 4))
    start = 144 + int.from_bytes(data[140:144], "little")
    sequence = struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, 2**32 - 1)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1)
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    for depth in (1, 10, 1000, 50_000):
        nested = data[:start] + (sequence + item) * depth + ends * depth + data[start:]
        if depth < 1000:
            assert decode(nested).pixels.shape == (4, 4, 3)
            continue
        with pytest.raises(ImageError, match=r"^DICOM whose parts lie too deep in one another$"):
            decode(nested)
