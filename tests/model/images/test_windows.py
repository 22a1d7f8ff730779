"""Windows in a preprocessing spec, on files of every depth: the file's own units, and the same picture everywhere."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from benchmarks.domain_images import dicom, scan_file
from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.images.decode import decode
from lookalike.model.images.levels import PercentileWindow, Window
from lookalike.model.images.preprocess import parse_spec

UNITS = np.array([[-1000, -160, -27], [106, 239, 3000]], np.int16)
"""In Hounsfield units, and what window(40,400) makes of them."""
LEVELS = [[0, 0, 85], [170, 255, 255]]
WINDOW = Window(40, 400)


def sample(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def changed(data: bytes, **header: object) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def tiff(samples: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Pil.fromarray(samples).save(stream, "TIFF", **options)
    return stream.getvalue()


def png(samples: np.ndarray) -> bytes:
    return cv2.imencode(".png", samples)[1].tobytes()


def rescaled_per_frame(groups: str) -> bytes:
    values, group = Dataset(), Dataset()
    values.RescaleSlope, values.RescaleIntercept = 2, -1000
    group.PixelValueTransformationSequence = Sequence([values])
    return dicom(((UNITS + 1000) // 2).astype(np.uint16), **{groups: Sequence([group])})


def looked_up() -> bytes:
    """Stored values 0 to 5, which a table turns into units + 1024; a table cannot be negative."""
    table = Dataset()
    table.LUTDescriptor = [6, 0, 16]
    table.LUTData = (UNITS + 1024).ravel().tolist()
    table.ModalityLUTType = "HU"
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    return dicom(np.arange(6, dtype=np.uint16).reshape(2, 3), ModalityLUTSequence=Sequence([table]))


DEEP = {
    "dicom signed": (dicom(UNITS), WINDOW),
    "dicom unsigned, rescaled": (dicom((UNITS + 1024).astype(np.uint16), intercept=-1024), WINDOW),
    "dicom with an empty slope": (
        dicom((UNITS + 1024).astype(np.uint16), intercept=-1024, slope=None),
        WINDOW,
    ),
    "dicom by a table": (looked_up(), Window(40 + 1024, 400)),
    "png 16 bit": (png((UNITS + 1024).astype(np.uint16)), Window(40 + 1024, 400)),
    "png 16 bit colour": (png(np.stack([(UNITS + 1024).astype(np.uint16)] * 3, -1)), Window(40 + 1024, 400)),
    "tiff 16 bit": (tiff((UNITS + 1024).astype(np.uint16)), Window(40 + 1024, 400)),
    "tiff 32 bit": (tiff(UNITS.astype(np.int32)), WINDOW),
    "tiff float": (tiff(UNITS.astype(np.float32)), WINDOW),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_window_is_in_the_files_own_units(name: str) -> None:
    data, window = DEEP[name]
    image = decode(data, window=window)
    assert (image.pixels.dtype, image.width, image.height) == (np.uint8, 3, 2)
    assert image.pixels[..., 0].tolist() == LEVELS
    assert (image.pixels == image.pixels[..., :1]).all()


@pytest.mark.parametrize("groups", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_the_rescaling_of_an_enhanced_object_is_found(groups: str) -> None:
    # Stored by halves, so that 239 is 238, and all are even.
    data = rescaled_per_frame(groups)
    for center, levels in (
        (-999, [0, 255, 255, 255, 255, 255]),
        (106, [0, 0, 0, 255, 255, 255]),
        (
            107,
            [0, 0, 0, 0, 255, 255],
        ),
    ):
        assert decode(data, window=Window(center, 1)).pixels[..., 0].ravel().tolist() == levels


def test_a_negative_slope_turns_light_and_dark_round() -> None:
    assert decode(dicom(-UNITS, intercept=0, slope=-1), window=WINDOW).pixels[..., 0].tolist() == LEVELS


def test_monochrome1_is_inverted_behind_the_window() -> None:
    data = dicom(UNITS, PhotometricInterpretation="MONOCHROME1")
    assert (255 - decode(data, window=WINDOW).pixels[..., 0]).tolist() == LEVELS


def test_tiff_whose_white_is_zero_is_inverted_behind_the_window() -> None:
    data = tiff((UNITS + 1024).astype(np.uint16))
    entry = struct.pack("<HHI", 262, 3, 1)
    assert data.count(entry) == 1
    at = data.index(entry) + len(entry)
    white = data[:at] + b"\0" + data[at + 1 :]
    assert (255 - decode(white, window=Window(1064, 400)).pixels[..., 0]).tolist() == LEVELS


@pytest.mark.parametrize("signed", [1, 0])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [Window(600, 800), PercentileWindow(5, 95)])
def test_what_is_compressed_by_jpeg_ls_has_the_units_of_the_raw_file(signed, kind, window) -> None:
    header = {"PhotometricInterpretation": kind, "RescaleSlope": 0.5, "RescaleIntercept": -100}
    header["PixelRepresentation"] = signed
    raw, compressed = (
        decode(changed(sample(name), **header), window=window).pixels
        for name in ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm")
    )
    assert np.array_equal(raw, compressed)
    assert len(np.unique(raw)) > 50


def test_a_real_ct_has_its_soft_tissue_in_the_window() -> None:
    dataset = pydicom.dcmread(io.BytesIO(sample("CT_small.dcm")))
    units = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    expected = np.clip(((units - 39.5) / 399 + 0.5) * 255, 0, 255)
    assert np.abs(decode(sample("CT_small.dcm"), window=WINDOW).pixels[..., 0] - expected).max() <= 0.5


def test_of_several_frames_the_first_is_read() -> None:
    two = np.concatenate([UNITS, UNITS[::-1]])
    data = changed(dicom(two), Rows=2, NumberOfFrames=2)
    assert decode(data, window=WINDOW).pixels[..., 0].tolist() == LEVELS


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
def test_pictures_of_8_bits_are_in_units_of_0_to_255(suffix: str) -> None:
    grey = np.tile(np.arange(0, 256, 5, dtype=np.uint8), (8, 1))
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    data = cv2.imencode(suffix, cv2.merge([grey] * 3), options)[1].tobytes()
    assert np.array_equal(decode(data, window=Window(128, 256)).pixels, decode(data).pixels)
    narrow = decode(data, window=Window(100, 101)).pixels[0, :, 0]
    assert narrow[[0, 10, 11, 20, 30, 51]].tolist() == [0, 1, 14, 129, 255, 255]


def test_a_jpeg_and_a_bmp_get_the_same_window() -> None:
    parsed = parse_spec("decode|window(100,101)|resize(16,16)")
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
    data = cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    plain = cv2.imencode(".bmp", decode(data).pixels[..., ::-1])[1].tobytes()
    assert np.array_equal(parsed.pixels(data)[0], parsed.pixels(plain)[0])


def test_transparency_of_16_bits_is_put_on_white_before_the_window() -> None:
    rgba = np.zeros((1, 2, 4), np.uint16)
    rgba[0, 1] = 1000, 1000, 1000, 65535
    assert decode(png(rgba), window=Window(1000, 2001)).pixels[..., 0].tolist() == [[255, 128]]


def test_colours_of_a_dicom_are_windowed_as_they_are_stored() -> None:
    data = sample("SC_rgb_rle_16bit.dcm")
    stored = pydicom.dcmread(io.BytesIO(data)).pixel_array
    assert np.array_equal(
        decode(data, window=Window(32768, 65536)).pixels, np.rint(stored / 257).astype(np.uint8)
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            dicom(UNITS, intercept=0, slope=0),
            "a rescale slope of 0 and an intercept of 0: no window can be laid",
        ),
        (dicom(UNITS, intercept="1e400"), "an intercept of inf"),
        (dicom(UNITS)[:-4], "DICOM cut short or corrupt"),
    ],
)
def test_a_dicom_without_units_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data, window=WINDOW)
    assert reason in str(caught.value)


def test_colours_of_a_deep_tiff_are_windowed_as_they_are_stored() -> None:
    data = cv2.imencode(".tiff", np.stack([(UNITS + 1024).astype(np.uint16)] * 3, -1))[1].tobytes()
    image = decode(data, window=Window(40 + 1024, 400))
    assert image.pixels[..., 0].tolist() == LEVELS
    assert (image.pixels == image.pixels[..., :1]).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("decode|resize(8,8)|window(40,400)", "one window is expected, right behind decode"),
        ("decode|window(40,400)|window_percentile(1,99)|resize(8,8)", "one window is expected"),
        ("decode|window(40)|resize(8,8)", "it takes center, width"),
        ("decode|window(40,0.5)|resize(8,8)", "width must be a number from 1 to 1e+30; received 0.5"),
        ("decode|window('40',400)|resize(8,8)", "center must be a number"),
        ("decode|window(1e400,400)|resize(8,8)", "center must be a number"),
        ("decode|window(True,400)|resize(8,8)", "center must be a number"),
        ("decode|window_percentile(1,101)|resize(8,8)", "high must be a number from 0 to 100; received 101"),
        ("decode|window_percentile(99,1)|resize(8,8)", "low must be less than high; received 99 and 1"),
        ("decode|windows(40,400)|resize(8,8)", "did you mean window"),
        ("decode|window(40,400)", "an output of one fixed size is expected"),
    ],
)
def test_a_window_that_is_none_is_refused_with_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(LookalikeError) as caught:
        parse_spec(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["window(-600,1500)", "window(40.5,400)", "window_percentile(0.5,99)"])
def test_a_window_survives_a_round_trip(text: str) -> None:
    spec = f"decode|{text}|resize(8,8)|normalize(127,128)"
    parsed = parse_spec(
        spec.replace(",", ", ").replace("(-600", "(center=-600").replace(" 1500", "width=1500")
    )
    assert str(parsed) == spec
    assert parse_spec(str(parsed)) == parsed
    assert parsed != parse_spec("decode|resize(8,8)|normalize(127,128)")


def test_a_window_comes_before_resizing() -> None:
    """Half of the pixels far above the window: their mean with the others would be white all over."""
    columns = np.tile(np.array([0, 4000], np.int16), (8, 4))
    pixels = parse_spec("decode|window(40,400)|resize(4,4)").pixels(dicom(columns))[0]
    # 0 HU is level 102, 4000 is 255.
    assert np.abs(pixels.astype(int) - 178).max() <= 1


FUZZED = [
    dicom(UNITS, intercept=-1024),
    looked_up(),
    *(data for data, _ in DEEP.values()),
    scan_file("fine", 0),
]
FUZZED += [sample("MR_small_jpeg_ls_lossless.dcm"), rescaled_per_frame("SharedFunctionalGroupsSequence")]


@given(st.data())
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_or_read(draws: st.DataObject) -> None:
    damaged = bytearray(draws.draw(st.sampled_from(FUZZED)))
    for _ in range(draws.draw(st.integers(1, 5))):
        damaged[draws.draw(st.integers(0, len(damaged) - 1))] = draws.draw(st.integers(0, 255))
    window = draws.draw(st.sampled_from([WINDOW, PercentileWindow(1, 99)]))
    try:
        image = decode(bytes(damaged), max_pixels=1_000_000, window=window)
    except ImageError:
        return
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (image.height, image.width, 3)
