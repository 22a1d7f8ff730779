"""jpeg_top: the upper rows are those of the whole picture, and nothing is wrong with a file that gives them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images import exif, jpeg, jpeg_top
from lookalike.model.images.decode import decode
from lookalike.model.images.jpeg_top import decode_top, rows_of_middle
from lookalike.model.images.preprocess import parse_spec
from tests.support.image_files import photograph

EOI = b"\xff\xd9"


def encoded(height: int, width: int, orientation: int = 1, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(-30, 30, (height, width, 1))
    pixels = np.clip(photograph(height, width).astype(int) + noise, 0, 255).astype(np.uint8)
    picture = Pil.fromarray(pixels).convert(str(options.pop("mode", "RGB")))
    block = Pil.Exif()
    block[0x0112] = orientation
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=block, **{"quality": 90, **options})
    return stream.getvalue()


DATA = encoded(200, 120)


def top(data: bytes, rows: int = 100, factor: int = 1) -> np.ndarray | None:
    return decode_top(data, jpeg.header(data), factor, rows)


def whole(data: bytes, factor: int = 1) -> np.ndarray:
    pixels = jpeg.decode(data, jpeg.header(data), factor)
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_upper_rows_are_those_of_the_whole_picture(factor: int, subsampling: str, mode: str) -> None:
    options = {"mode": mode} | ({"subsampling": subsampling} if mode == "RGB" else {})
    data = encoded(203, 121, **options)
    for rows in (1, 15, 16, 64, 97, 150):
        pixels = top(data, rows, factor)
        assert pixels is not None
        needed = -(-rows // factor)
        assert pixels.shape == whole(data, factor).shape
        assert np.array_equal(pixels[:needed], whole(data, factor)[:needed])
        assert not pixels[-1].any()


def test_a_picture_of_which_nearly_all_rows_are_needed_is_left_to_others() -> None:
    assert top(DATA, 200) is None
    assert top(DATA, 190) is None


REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "cut in the rows that are needed": lambda data: data[: len(data) // 3],
    "cut below": lambda data: data[: len(data) * 9 // 10],
    "without its end": lambda data: data[:-2],
    "without its end, with something behind it": lambda data: data[:-2] + bytes(9),
    "cut, with an end": lambda data: data[: len(data) // 3] + EOI,
    "with an end in the rows that are needed": lambda data: _with(data, 0.4, EOI),
    "with a marker in the rows that are needed": lambda data: _with(data, 0.4, b"\xff\xd0"),
    "cut below, with the beginning of another behind it": lambda data: data[: len(data) * 9 // 10] + DATA,
    "with a warning in its header": lambda data: data[:2] + b"\0" + data[2:],
}


def _with(data: bytes, place: float, what: bytes) -> bytes:
    start = jpeg.header(data).scan
    at = start + int(place * (len(data) - start))
    return data[:at] + what + data[at + len(what) :]


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_damaged_is_left_to_others(name: str) -> None:
    assert top(DATA) is not None
    assert top(REFUSED[name](DATA)) is None


def test_a_picture_that_has_no_more_rows_than_are_needed_is_not_one_of_more() -> None:
    data = encoded(112, 120)
    at = data.index(b"\xff\xc0") + 5
    assert top(data[:at] + (200).to_bytes(2, "big") + data[at + 2 :]) is None


def test_what_lies_behind_the_end_is_nothing_to_it() -> None:
    pixels = top(DATA + b"a film" + EOI)
    assert pixels is not None
    assert np.array_equal(pixels[:100], whole(DATA)[:100])


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"mode": "CMYK"}], ids=["progressive", "four inks"]
)
def test_pictures_of_several_scans_and_of_four_inks_are_left_to_others(options: dict[str, object]) -> None:
    assert top(encoded(200, 120, **options)) is None


def test_what_is_lost_between_restart_markers_is_not_taken_for_what_lies_below() -> None:
    data = encoded(200, 120, restart_marker_blocks=4)
    assert top(data) is None
    at = data.index(b"\xff\xd0", jpeg.header(data).scan)
    assert top(data[:at] + b"lost" + EOI) is None


def test_scans_of_one_component_each_are_left_to_others() -> None:
    at = DATA.index(b"\xff\xda")
    one = DATA[: at + 2] + b"\0\x08\x01\x01\0\0\x3f\0" + DATA[jpeg.header(DATA).scan :]
    assert top(one) is None


def test_a_file_much_larger_than_its_picture_is_not_copied() -> None:
    comment = b"\xff\xfe" + (65533).to_bytes(2, "big") + bytes(65531)
    assert top(DATA[:2] + comment + DATA[2:]) is None


def test_damage_below_the_middle_is_none_to_it_and_a_file_that_is_cut_is_refused() -> None:
    preprocess = parse_spec("decode|resize_short(32)|center_crop(16)")
    damaged = _with(DATA, 0.95, b"\xff\0" * 8)  # ones, which begin no Huffman code
    with pytest.raises(ImageError, match="JPEG cut short or corrupt"):
        decode(damaged)
    assert np.array_equal(preprocess.pixels(damaged)[0], preprocess.pixels(DATA)[0])
    for size in range(jpeg.header(DATA).scan, len(DATA), 97):
        with pytest.raises(ImageError, match="JPEG cut short or corrupt"):
            preprocess.pixels(DATA[:size])


@given(
    st.tuples(st.integers(8, 300), st.integers(8, 300)),
    st.integers(8, 90),
    st.tuples(st.floats(0.1, 1), st.floats(0.1, 3)),
    st.integers(1, 8),
    st.sampled_from(["4:4:4", "4:2:0"]),
)
@settings(max_examples=60, deadline=None)
def test_a_crop_is_the_same_whether_the_rows_below_it_are_decoded_or_not(
    size: tuple[int, int], short: int, crop: tuple[float, float], orientation: int, subsampling: str
) -> None:
    height, width = max(1, int(crop[0] * short)), max(1, int(crop[1] * short))
    data = encoded(*size, orientation, subsampling=subsampling)
    geometry = f"resize_short({short})|center_crop({height},{width})"
    cropped = parse_spec(f"decode|{geometry}").pixels(data)
    # A window that changes nothing needs the whole picture.
    complete = parse_spec(f"decode|window(128,256)|{geometry}").pixels(data)
    assert np.array_equal(cropped[0], complete[0])
    assert cropped[1:] == complete[1:]


def test_the_rows_of_a_turned_picture_are_the_columns_of_the_one_that_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(jpeg_top, "decode_top", lambda *given: asked.append(given[-1]))
    preprocess = parse_spec("decode|resize_short(50)|center_crop(40,20)")
    for orientation in range(1, 9):
        preprocess.pixels(encoded(200, 100, orientation))
        crop = 20 if orientation in exif.TURNED else 40
        assert asked[-1] == rows_of_middle(200, 100, 50, crop)


def test_rows_of_the_middle() -> None:
    # Of 400 rows scaled by 1/2, 100 rows are 200: from 100 to 300, and 8 more that they are made of.
    assert rows_of_middle(400, 200, 100, 100) == 308
    assert rows_of_middle(200, 400, 100, 100) == 200
    assert rows_of_middle(10, 10, 100, 10) == 8
