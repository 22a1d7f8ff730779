"""isobmff: boxes, and the crop that one of them gives; of AVIF and HEIC made by others and cropped here."""

from __future__ import annotations

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pil

from lookalike.model.errors import ImageError
from lookalike.model.images.decode import decode
from lookalike.model.images.isobmff import boxes, clean_aperture
from tests.support.image_files import saved

WIDTH, HEIGHT = 64, 64  # HEVC pads to 64, and a file of other sizes has a crop already
SHADES = np.add.outer(np.arange(HEIGHT) * 3, np.arange(WIDTH)).astype(np.uint8)
PICTURE = Pil.fromarray(np.stack([SHADES, 255 - SHADES, SHADES // 2], axis=-1))


def heic(picture: Pil.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(picture).save(stream, quality=-1, chroma=444, **options)
    return stream.getvalue()


def avif(picture: Pil.Image, **options: object) -> bytes:
    return saved(picture, "AVIF", quality=100, subsampling="4:4:4", **options)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def cropped(data: bytes, left: int, top: int, width: int, height: int) -> bytes:
    """The same file with a `clap` for its main item, whose properties are listed first."""
    across, down = 2 * left + width - WIDTH, 2 * top + height - HEIGHT  # twice the way between the middles
    clap = box(b"clap", struct.pack(">8i", width, 1, height, 1, across, 2, down, 2))
    found = {kind: (start, end) for kind, start, end in boxes(data)}
    start, end = found[b"meta"]
    parts = []
    for kind, first, last in boxes(data, start + 4, end):
        body = bytearray(data[first:last])
        if kind == b"iprp":
            inner = {k: bytes(body[a:b]) for k, a, b in boxes(bytes(body))}
            count = len(list(boxes(inner[b"ipco"])))
            ipma = bytearray(inner[b"ipma"])
            # Before what turns the picture: the order of the list is that of the changes.
            ipma[10:11] = bytes((ipma[10] + 1, 0x80 | (count + 1)))
            body = bytearray(box(b"ipco", inner[b"ipco"] + clap) + box(b"ipma", bytes(ipma)))
        if kind == b"iloc":
            body = moved(body, len(clap) + 1)
        parts.append(box(kind, bytes(body)))
    return data[: start - 8] + box(b"meta", data[start : start + 4] + b"".join(parts)) + data[end:]


def moved(iloc: bytearray, by: int) -> bytearray:
    """All offsets of `iloc` (ISO/IEC 14496-12, 8.11.3) made larger: of 4 bytes, as lengths are, without a base."""
    assert iloc[0] < 2
    assert iloc[4:6] in (b"\x44\0", b"\x44\x40")
    at, base = 8, iloc[5] >> 4
    for _ in range(int.from_bytes(iloc[6:8], "big")):
        at += (4 if iloc[0] == 0 else 6) + base
        extents = int.from_bytes(iloc[at : at + 2], "big")
        for place in range(at + 2, at + 2 + 8 * extents, 8):
            struct.pack_into(">I", iloc, place, struct.unpack_from(">I", iloc, place)[0] + by)
        at += 2 + 8 * extents
    return iloc


@pytest.mark.parametrize("crop", [(10, 4, 30, 20), (0, 0, 64, 64), (33, 27, 31, 37), (0, 1, 1, 47)])
def test_the_crop_of_an_avif_is_applied(crop: tuple[int, int, int, int]) -> None:
    left, top, width, height = crop
    data = avif(PICTURE)
    assert clean_aperture(data) is None
    data = cropped(data, *crop)
    assert clean_aperture(data) == crop
    image = decode(data)
    assert (image.width, image.height) == (width, height)
    expected = np.asarray(PICTURE)[top : top + height, left : left + width]
    assert np.abs(image.pixels.astype(int) - expected).max() < 12


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_cropped_before_it_is_turned(orientation: int) -> None:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    image = decode(cropped(avif(PICTURE, exif=exif), 10, 4, 30, 20))
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    expected = np.rot90(np.asarray(PICTURE)[4:24, 10:40], turns)
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).max() < 12


def test_the_crop_of_a_heic_is_applied() -> None:
    image = decode(cropped(heic(PICTURE), 10, 4, 30, 20))
    assert (image.width, image.height) == (30, 20)
    assert np.abs(image.pixels.astype(int) - np.asarray(PICTURE)[4:24, 10:40]).max() < 12


def test_a_crop_beyond_the_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="is not within 64 x 64"):
        decode(cropped(avif(PICTURE), 40, 0, 30, 48))


def test_boxes_end_where_one_claims_more_than_there_is() -> None:
    data = box(b"abcd", b"12") + struct.pack(">I4sQ", 1, b"long", 18) + b"34"
    assert list(boxes(data)) == [(b"abcd", 8, 10), (b"long", 26, 28)]
    assert list(boxes(data + struct.pack(">I4s", 0, b"last") + b"rest"))[-1] == (b"last", 36, 40)
    for size in (2, 7, 99, 2**32 - 1):
        assert list(boxes(data + struct.pack(">I4s", size, b"evil")))[-1][0] == b"long"
