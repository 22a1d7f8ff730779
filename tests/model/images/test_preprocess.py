"""Preprocessing specs: what they accept, that they survive a round trip, and the geometry they describe."""

import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.images import preprocess
from lookalike.model.images.boxes import Box, PartOfImage
from lookalike.model.images.preprocess import parse_spec
from tests.support.image_files import photograph

USUAL = "decode|resize_short(256)|center_crop(224)|normalize(127,128)"


def jpeg(pixels: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(pixels, quality=95, colorsubsampling="444")


def bmp(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pil.fromarray(pixels).save(stream, "BMP")
    return stream.getvalue()


# --- the spec


@pytest.mark.parametrize(
    ("text", "canonical", "size"),
    [
        (USUAL, USUAL, (224, 224)),
        (" decode | resize_short( n = 256 ) | center_crop(224)|normalize(127, std=128)", USUAL, (224, 224)),
        ("decode()|resize(10, 20)", "decode|resize(10,20)", (10, 20)),
        ("decode|resize(width=20, height=10)", "decode|resize(10,20)", (10, 20)),
        ("decode|center_crop(10, width=20)", "decode|center_crop(10,20)", (10, 20)),
        ("decode|pad_square|resize(8,8)", "decode|pad_square|resize(8,8)", (8, 8)),
        ("decode|pad_square(value=0)|resize_short(8)", "decode|pad_square(0)|resize_short(8)", (8, 8)),
        ("decode|resize(4,8)|pad_square", "decode|resize(4,8)|pad_square", (8, 8)),
        (
            "decode|resize(8,8)|normalize((1,2,3), [4.5,5,6])",
            "decode|resize(8,8)|normalize((1,2,3),(4.5,5,6))",
            (8, 8),
        ),
    ],
)
def test_specs_are_parsed_to_one_canonical_form(text: str, canonical: str, size: tuple[int, int]) -> None:
    parsed = parse_spec(text)
    assert str(parsed) == parsed.spec == canonical
    assert (parsed.height, parsed.width) == size
    assert parse_spec(canonical) == parsed
    assert hash(parse_spec(canonical)) == hash(parsed)
    assert pickle.loads(pickle.dumps(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an operation such as"),
        ("resize(8,8)", "decode is expected first"),
        ("decode|resize(8,8)|decode", "decode is expected first, and only there"),
        ("decode|normalize(1,2)|resize(8,8)", "normalize is expected last"),
        ("decode|resiz_short(8)|center_crop(8)", "did you mean resize_short"),
        ("decode|zzz", "did you mean decode or resize_short or"),
        ("decode|resize_short(8)", "an output of one fixed size is expected"),
        ("decode|resize_short(8)|pad_square", "an output of one fixed size is expected"),
        ("decode|pad_square", "an output of one fixed size is expected"),
        ("decode", "an output of one fixed size is expected"),
        ("decode|resize_short(100)|center_crop(101)", "a crop no larger than the resized picture"),
        ("decode|resize(10,20)|center_crop(11,20)", "a crop no larger than the resized picture"),
        ("decode|resize(8)", "missing a required argument: 'width'; it takes height, width"),
        ("decode|resize(8,8,8)", "too many positional arguments"),
        ("decode(1)|resize(8,8)", "it takes no arguments"),
        ("decode|resize(8,size=8)", "it takes height, width"),
        ("decode|resize('8',8)", "height must be a whole number from 1 to 16384; received '8'"),
        ("decode|resize(8,True)", "width must be a whole number"),
        ("decode|resize(8,0)", "width must be a whole number"),
        ("decode|resize(8,8.0)", "width must be a whole number"),
        ("decode|pad_square(256)|resize(8,8)", "value must be a whole number from 0 to 255"),
        ("decode|resize(8,8)|normalize(1,0)", "std must be greater than 0"),
        ("decode|resize(8,8)|normalize(1,(1,2))", "std must be a number or three"),
        ("decode|resize(8,8)|normalize('a',1)", "mean must be a number or three"),
        (f"decode|resize(8,8)|normalize(1{'0' * 400},1)", "mean must be a number or three"),
        ("decode|resize(8,8)|normalize(1e400,1)", "mean must be a number or three"),
        ("decode|resize(*(8,8))", "an operation such as"),
        ("decode|resize(**{})", "an operation such as"),
        ("decode|model.resize(8,8)", "an operation such as"),
        ("decode|resize(8,8))", "an operation such as"),
        ("decode|" + "(" * 5000, "an operation such as"),
        ("decode|resize(8,8)|", "an operation such as"),
    ],
)
def test_what_is_not_a_spec_is_refused_with_what_was_expected(text: str, reason: str) -> None:
    with pytest.raises(LookalikeError) as caught:
        parse_spec(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "code",
    ["__import__('os').system('touch X')", "open('X','w')", "(lambda: open('X','w'))()", "2**2**99", "n"],
)
def test_a_spec_never_runs_code(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (code, f"decode|{code}", f"decode|resize({code},8)", f"decode|resize(8,width={code})"):
        with pytest.raises(LookalikeError):
            parse_spec(text)
    assert list(tmp_path.iterdir()) == []


@given(st.text(alphabet="decoresiz_ht(),|='1 .[]*{}\0\n", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    for candidate in (text, "decode|resize(8,8)|" + text):
        try:
            parsed = parse_spec(candidate)
        except LookalikeError:
            continue
        assert parse_spec(str(parsed)) == parsed


number = st.integers(-1000, 1000) | st.floats(-1000, 1000)
positive = st.integers(1, 1000) | st.floats(1e-3, 1000)


@given(
    st.integers(1, 500),
    st.data(),
    st.sampled_from(
        ["resize_short({n})|center_crop({m})", "pad_square|resize({n},{m})", "center_crop({n},{m})"]
    ),
    st.none() | number | st.tuples(number, number, number),
    positive | st.tuples(positive, positive, positive),
)
@settings(deadline=None)
def test_every_spec_survives_a_round_trip(
    n: int, draws: st.DataObject, middle: str, mean: object, std: object
) -> None:
    text = "decode|" + middle.format(n=n, m=draws.draw(st.integers(1, n)))
    if mean is not None:
        text += f"|normalize({mean},{std})"
    parsed = parse_spec(text)
    again = parse_spec(str(parsed))
    assert str(again) == str(parsed) == text.replace(" ", "")
    assert (again.height, again.width) == (parsed.height, parsed.width)
    assert np.array_equal(again.mean, parsed.mean)
    assert np.array_equal(again.std, parsed.std)


# --- normalize


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    parsed = parse_spec("decode|resize(1,2)|normalize((1,2,3),(1,2,4))")
    result = parsed.normalize(np.array([[[1, 2, 3], [5, 6, 7]]], np.uint8))
    assert result.dtype == np.float32
    assert result.tolist() == [[[0, 0, 0], [4, 2, 1]]]


def test_a_spec_without_normalize_gives_the_pixels_as_float32() -> None:
    parsed = parse_spec("decode|resize(4,4)")
    result = parsed.normalize(parsed.pixels(bmp(np.full((4, 4, 3), 200, np.uint8)))[0])
    assert result.dtype == np.float32
    assert (result == 200).all()


def test_pixels_are_decoded_resized_and_cropped_before_they_are_normalized() -> None:
    parsed = parse_spec(USUAL)
    result = parsed.normalize(parsed.pixels(bmp(np.full((300, 400, 3), 255, np.uint8)))[0])
    assert result.shape == (224, 224, 3)
    assert (result == 1).all()


def test_pixels_gives_the_size_of_the_original() -> None:
    for data in (jpeg(photograph(900, 1300)), bmp(photograph(900, 1300))):
        pixels, width, height = parse_spec(USUAL).pixels(data)
        assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        assert pixels.flags.c_contiguous
        assert (width, height) == (1300, 900)


@pytest.mark.parametrize("size", [(600, 801), (1111, 1600), (533, 400), (257, 400), (120, 90), (2200, 2100)])
def test_a_jpeg_decoded_reduced_ends_as_one_decoded_whole(size: tuple[int, int]) -> None:
    data = jpeg(photograph(*size))
    for text in (USUAL, "decode|resize(200,100)", "decode|pad_square|resize(224,224)"):
        parsed = parse_spec(text)
        reduced = parsed.pixels(data)[0].astype(int)
        whole = parsed.pixels(bmp(simplejpeg.decode_jpeg(data)))[0]
        assert np.abs(reduced - whole).mean() < 0.6


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 40000), (3, 2), (7, 700), (20000, 800)])
@pytest.mark.parametrize(
    "text", [USUAL, "decode|resize(32,48)", "decode|center_crop(9)", "decode|pad_square|resize(8,8)"]
)
def test_narrow_and_tiny_pictures_keep_their_colour(size: tuple[int, int], text: str) -> None:
    parsed = parse_spec(text)
    if "pad" in text and max(size) > 10_000:
        with pytest.raises(ImageError, match="more than the limit"):
            parsed.pixels(bmp(np.zeros((*size, 3), np.uint8)))
        return
    pixels, _, _ = parsed.pixels(bmp(np.full((*size, 3), (10, 20, 30), np.uint8)))
    assert pixels.shape == (parsed.height, parsed.width, 3)
    if "pad" not in text:
        assert np.abs(pixels[parsed.height // 2, parsed.width // 2].astype(int) - (10, 20, 30)).max() <= 1


def test_a_narrow_picture_keeps_its_middle() -> None:
    strip = np.zeros((10, 1000, 3), np.uint8)
    strip[:, 490:510] = 255
    pixels, _, _ = parse_spec("decode|resize_short(20)|center_crop(20)").pixels(bmp(strip))
    assert pixels.min() > 250


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_the_output_has_the_size_that_was_announced(
    height: int, width: int, n: int, draws: st.DataObject
) -> None:
    crop = draws.draw(st.integers(1, n))
    image = bmp(photograph(height, width))
    for middle in (
        f"resize_short({n})|center_crop({crop})",
        f"resize({n},{crop})",
        f"pad_square|resize_short({n})",
    ):
        parsed = parse_spec(f"decode|{middle}")
        assert parsed.pixels(image)[0].shape == (parsed.height, parsed.width, 3)


def test_an_intermediate_picture_beyond_the_limit_is_refused_before_it_is_made() -> None:
    with pytest.raises(ImageError, match="20000 x 20000 = 400,000,000 pixels, more than the limit"):
        parse_spec("decode|pad_square|resize(8,8)").pixels(bmp(np.zeros((1, 20000, 3), np.uint8)))


def test_what_cannot_be_decoded_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="empty file"):
        parse_spec(USUAL).pixels(b"")


def test_decoding_a_jpeg_does_not_import_tensorflow() -> None:
    import subprocess

    script = (
        "import sys; from lookalike.model.images.preprocess import parse_spec; "
        f"parse_spec({USUAL!r}).pixels(sys.stdin.buffer.read()); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], input=jpeg(photograph(30, 40)), check=True)


def test_of_a_part_the_size_of_the_whole_picture_is_given_and_a_suspect_one_stays_one(monkeypatch) -> None:
    suspects, usual = [], preprocess.decode
    monkeypatch.setattr(
        preprocess, "decode", lambda data, suspect, **more: suspects.append(suspect) or usual(data, **more)
    )
    spec = parse_spec("decode|resize(8, 8)")
    data = bmp(np.zeros((30, 50, 3), np.uint8))
    pixels, width, height = spec.pixels(PartOfImage(data, Box(0, 0, 10, 20)), suspect=True)
    assert (pixels.shape, width, height, suspects) == ((8, 8, 3), 50, 30, [True])
