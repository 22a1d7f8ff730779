"""DICOM through decode: every compression, its size and its damage. Windows on DICOM are in test_windows.py."""

from __future__ import annotations

import io
import resource

import numpy as np
import pydicom
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from tests.support.image_files import (
    dicom_sample,
)


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
