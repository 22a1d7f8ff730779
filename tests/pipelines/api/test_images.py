"""Images as a program has them: pixels are those of a PNG, and what is no image is named with its position."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lookalike.api import images
from lookalike.api.images import each_image, file_of
from lookalike.model.errors import LookalikeError
from lookalike.model.images.decode import decode
from lookalike.query.fetching import UnreadableError
from lookalike.sources import SourceOptions
from tests.hostile.bombs import png

RANDOM = np.random.default_rng(3).integers(0, 256, (9, 7, 4)).astype(np.uint8)


def read(image) -> np.ndarray:
    data = file_of(image, 0)
    assert isinstance(data, bytes), data
    return decode(data).pixels


def on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(float) / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


def test_pixels_lose_nothing():
    assert (read(RANDOM[..., :3]) == RANDOM[..., :3]).all()
    grey = RANDOM[..., :1]
    assert (read(grey) == grey).all()
    assert (read(grey[..., 0]) == grey).all()
    assert np.abs(read(RANDOM) - on_white(RANDOM)).max() <= 1


def test_more_pixels_than_a_png_holds_are_a_reason(monkeypatch):
    monkeypatch.setattr(images, "_MOST_BYTES", 100)
    assert str(file_of(RANDOM, 0)) == "7 x 9 pixels are too many for a PNG"


def test_pixels_need_not_lie_in_a_row():
    turned = RANDOM[::-1, ::2, 2::-1]
    assert not turned.flags.c_contiguous
    assert (read(turned) == turned).all()


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_a_pil_image_of_any_mode_is_what_pil_makes_of_it(mode):
    source = Image.fromarray(RANDOM[..., :3])
    image = _converted(source, mode)
    expected = np.asarray((image.convert("RGBA") if mode == "RGBa" else image).convert("RGB"))
    assert np.abs(read(image).astype(int) - expected).max() <= 1


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    if mode in ("PA", "RGBa"):
        return image.convert("RGBA").convert(mode) if mode == "RGBa" else image.convert("P").convert("PA")
    return image.convert(mode)


def test_a_transparent_colour_of_a_pil_image_is_white():
    image = Image.fromarray(RANDOM[..., :3]).quantize(8)
    image.info["transparency"] = image.getpixel((0, 0))
    assert (read(image)[0, 0] == 255).all()
    assert (read(image)[np.asarray(image) != image.getpixel((0, 0))] != 255).any()


def test_a_pil_image_of_16_bits_keeps_them():
    deep = np.arange(63, dtype=np.uint16).reshape(9, 7) * 1000
    expected = decode(cv2.imencode(".png", deep)[1].tobytes()).pixels
    assert (read(Image.fromarray(deep)) == expected).all()


def test_a_pil_image_is_turned_as_its_exif_tells():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(RANDOM[..., :3]).save(file, "PNG", exif=exif)
    assert (read(Image.open(file)) == read(file.getvalue())).all()
    assert read(file.getvalue()).shape == (7, 9, 3)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("told_by", ["exif", "xmp", "nothing"])
def test_a_pil_image_is_turned_as_its_file_is(name, told_by):
    """Of an orientation in XMP Pillow makes use, as no format of ours does."""
    exif, image = Image.Exif(), Image.fromarray(np.repeat(np.repeat(RANDOM[..., :3], 8, 0), 8, 1))
    exif[0x0112] = 6
    xmp = '<rdf:Description tiff:Orientation="6"/>'
    told = {"exif": {"exif": exif}, "xmp": {"xmp": xmp.encode()}, "nothing": {}}[told_by]
    if told_by == "xmp" and name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        told = {"pnginfo": text}
    if told_by == "xmp" and name == "TIFF":
        return  # Pillow has turned it while it was read
    file = io.BytesIO()
    image.save(file, name, **told)
    by_file = decode(file.getvalue()).pixels
    assert (by_file.shape[0] < by_file.shape[1]) == (told_by == "exif")
    by_pillow = read(Image.open(file))
    assert by_pillow.shape == by_file.shape
    assert np.abs(by_pillow.astype(int) - by_file).mean() < 3


def test_a_pil_image_that_is_cut_short_is_a_reason_and_no_error():
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "JPEG")
    found = file_of(Image.open(io.BytesIO(file.getvalue()[:-200])), 0)
    assert isinstance(found, UnreadableError)
    assert "PIL cannot read it" in str(found)


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (np.zeros((4, 4, 3)), r"uint8 at position 5. Received: float64 \(4, 4, 3\)"),
        (np.zeros((4, 4), bool), "Received: bool"),
        (np.zeros((4, 4, 2), np.uint8), r"Received: uint8 \(4, 4, 2\)"),
        (np.zeros((3, 4, 4, 3), np.uint8), r"Received: uint8 \(3, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"Received: uint8 \(0, 4, 3\)"),
        (Image.new("F", (2, 2)), "Received: mode F"),
        (Image.new("I", (2, 2)), "Received: mode I"),
        (7, "position 5: bytes, a path, .* or an array of pixels. Received: int"),
        (None, "Received: NoneType"),
        (io.StringIO("text"), "Received: StringIO"),
        (["a.jpg"], "Received: list"),
    ],
)
def test_what_is_no_image_is_refused_with_its_position(image, received):
    with pytest.raises(LookalikeError, match=f"position 5.*{received}|{received}"):
        file_of(image, 5)


def test_a_file_that_cannot_be_fetched_is_a_reason(tmp_path):
    assert str(file_of(tmp_path, 0)) == f"a folder: {tmp_path}"
    assert "No such file" in str(file_of(tmp_path / "gone", 0))
    (tmp_path / "there").write_bytes(b"data")
    assert file_of(str(tmp_path / "there"), 0) == b"data"
    with open(tmp_path / "there", "rb") as file:
        assert file_of(file, 0) == b"data"


def test_one_image_is_one_and_many_are_many():
    one = [
        io.BytesIO(b"a"),
        b"a",
        bytearray(b"a"),
        memoryview(b"a"),
        "a.jpg",
        Path("a"),
        RANDOM,
        RANDOM[..., 0],
        Image.new("L", (1, 1)),
    ]
    assert [len(list(each_image(image))) for image in one] == [1] * len(one)
    assert len(list(each_image(np.zeros((3, 4, 4, 3), np.uint8)))) == 3
    assert len(list(each_image(iter(one)))) == len(one)
    assert list(each_image(np.array(["a", "b", "c"], object))) == ["a", "b", "c"]
    with pytest.raises(LookalikeError, match=r"Expected images. Received: int"):
        each_image(3)


def test_a_file_without_an_end_is_read_as_far_as_a_record_may_go(monkeypatch):
    monkeypatch.setattr(images, "_OPTIONS", SourceOptions(max_bytes=100))
    with open("/dev/zero", "rb") as file:
        found = file_of(file, 0)
    assert isinstance(found, UnreadableError)
    assert "101 bytes, more than corpus.max_bytes allows: 100" in str(found)


def test_a_pil_image_of_too_many_pixels_is_refused_before_they_are_read(monkeypatch):
    content = bytearray(png(8, 8))
    content[16:24] = (1 << 17).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    found = file_of(Image.open(io.BytesIO(content)), 0)
    assert str(found) == "131072 x 131072 pixels are too many for a PNG"
