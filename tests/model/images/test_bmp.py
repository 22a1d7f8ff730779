"""bmp: every header, depth, mask and compression, written here and read back."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images import bmp
from lookalike.model.images.decode import decode

WIDTH, HEIGHT = 13, 7
SIZES = (12, 16, 40, 52, 56, 64, 108, 124)


def bitmap(
    bits: int,
    pixels: bytes,
    *,
    size: int = 40,
    compression: int = 0,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
    top_down: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> bytes:
    height = -height if top_down else height
    if size == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colours = len(palette) // 4 if size >= 40 else 0
        head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
        given = b"".join(struct.pack("<I", mask) for mask in masks)
        head = (head + given).ljust(size, b"\0") if size >= 40 else head[:size]
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + head + palette + pixels


def lines(values: np.ndarray, bits: int) -> bytes:
    """Rows from the lowest up, each padded to four bytes, of values (height, width)."""
    if bits <= 8:
        flat = (values[..., None] >> np.arange(bits)[::-1]) & 1
        rows = np.packbits(flat.reshape(len(values), -1).astype(np.uint8), axis=1)
    else:
        rows = (
            values.astype("<u4")
            .view(np.uint8)
            .reshape(*values.shape, 4)[..., : bits // 8]
            .reshape(len(values), -1)
        )
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))[::-1].tobytes()


def random(high: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (HEIGHT, WIDTH))


@pytest.mark.parametrize(("bits", "size"), list(itertools.product((1, 2, 4, 8), SIZES)))
def test_palettes_of_every_depth_behind_every_header(bits: int, size: int) -> None:
    indices = random(2**bits)
    palette = np.random.default_rng(1).integers(0, 256, (2**bits, 3 if size == 12 else 4)).astype(np.uint8)
    data = bitmap(bits, lines(indices, bits), size=size, palette=palette.tobytes())
    assert np.array_equal(decode(data).pixels, palette[indices][..., 2::-1])


@pytest.mark.parametrize("size", SIZES)
def test_true_colour_behind_every_header(size: int) -> None:
    colours = random(1 << 24)
    expected = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    assert np.array_equal(decode(bitmap(24, lines(colours, 24), size=size)).pixels, expected)
    # The fourth byte is not alpha, whatever stands there.
    assert np.array_equal(decode(bitmap(32, lines(colours | 7 << 24, 32), size=size)).pixels, expected)


MASKS = {
    "BGRX": (32, (0xFF0000, 0xFF00, 0xFF)),
    "RGBX": (32, (0xFF, 0xFF00, 0xFF0000)),
    "XBGR": (32, (0xFF000000, 0xFF0000, 0xFF00)),
    "10 bits each": (32, (0x3FF00000, 0xFFC00, 0x3FF)),
    "11, 11 and 10": (32, (0xFFE00000, 0x1FFC00, 0x3FF)),
    "565": (16, (0xF800, 0x7E0, 0x1F)),
    "555": (16, (0x7C00, 0x3E0, 0x1F)),
    "444": (16, (0xF00, 0xF0, 0xF)),
    "880": (16, (0xFF00, 0xFF, 0)),
}


def channel(values: np.ndarray, mask: int) -> np.ndarray:
    if not mask:
        return np.zeros(values.shape)
    low = mask & -mask
    return (values & mask) // low * 255 / (mask // low)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
def test_masks_within_and_behind_the_header(name: str, size: int) -> None:
    bits, masks = MASKS[name]
    values = random(1 << bits)
    expected = np.stack([channel(values, mask) for mask in masks], axis=-1)
    data = bitmap(bits, lines(values, bits), size=size, compression=3, masks=masks)
    assert np.abs(decode(data).pixels - expected).max() <= 0.51


def test_16_bits_without_masks_are_555() -> None:
    values = random(1 << 15)
    expected = np.stack([channel(values, mask) for mask in (0x7C00, 0x3E0, 0x1F)], axis=-1)
    assert np.abs(decode(bitmap(16, lines(values, 16))).pixels - expected).max() <= 0.51


@pytest.mark.parametrize(("size", "compression"), [(56, 3), (124, 3), (40, 6)])
def test_alpha_is_put_on_white_unless_all_of_it_is_zero(size: int, compression: int) -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    values = random(1 << 24)
    rgb = np.stack([channel(values, mask) for mask in masks[:3]], axis=-1)
    options = {"size": size, "compression": compression, "masks": masks}
    assert np.array_equal(decode(bitmap(32, lines(values, 32), **options)).pixels, rgb)  # type: ignore[arg-type]
    values[0, 0] |= 128 << 24
    pixels = decode(bitmap(32, lines(values, 32), **options)).pixels  # type: ignore[arg-type]
    assert pixels[1:].min() == 255
    assert np.abs(pixels[0, 0] - (rgb[0, 0] * 128 + 255 * 127) / 255).max() <= 1


def test_the_first_row_may_be_the_uppermost() -> None:
    indices = random(4)
    palette = bytes(range(16))
    upside = decode(bitmap(2, lines(indices, 2), palette=palette)).pixels
    assert np.array_equal(
        decode(bitmap(2, lines(indices, 2), palette=palette, top_down=True)).pixels, upside[::-1]
    )


# --- run lengths

GREYS = bytes(v for n in range(16) for v in (n, n, n, 0))


@pytest.mark.parametrize(
    ("nibbles", "code", "expected"),
    [
        (True, "0512 0000", [[1, 2, 1, 2, 1, 0]]),
        (True, "0006 123456 00 0000", [[1, 2, 3, 4, 5, 6]]),
        (True, "0005 123450 00 0000", [[1, 2, 3, 4, 5, 0]]),
        (True, "0003 1230 0177 0000", [[1, 2, 3, 7, 0, 0]]),
        (True, "0004 1234 0155 0000", [[1, 2, 3, 4, 5, 0]]),
        (True, "0612 0001", [[1, 2, 1, 2, 1, 2]]),
        (False, "0603 0001", [[3] * 6]),
        (False, "0003 010203 00 0307 0000", [[1, 2, 3, 7, 7, 7]]),
        (False, "0004 01020304 0207 0000", [[1, 2, 3, 4, 7, 7]]),
        (False, "0209 0002 0101 0203 0001", [[0, 0, 0, 3, 3, 0], [9, 9, 0, 0, 0, 0]]),
        (False, "0601 0000 0602", [[2] * 6, [1] * 6]),
        (False, "ff01 0000 0602 0001", [[2] * 6, [1] * 6]),
        (False, "0001", [[0] * 6, [0] * 6]),
    ],
)
def test_runs(nibbles: bool, code: str, expected: list[list[int]]) -> None:
    data = bitmap(
        4 if nibbles else 8,
        bytes.fromhex(code),
        compression=2 if nibbles else 1,
        palette=GREYS,
        width=6,
        height=len(expected),
    )
    assert decode(data).pixels[..., 0].tolist() == expected


@pytest.mark.parametrize("code", ["", "06", "0601", "0601 0000", "0601 0002 00", "0003 01"])
def test_runs_that_end_before_the_picture_are_refused(code: str) -> None:
    data = bitmap(8, bytes.fromhex(code), compression=1, palette=GREYS, width=6, height=3)
    with pytest.raises(ImageError, match="ends before its pixels"):
        decode(data)


# --- what is refused


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compression": 4}, "a BMP with JPEG inside, which is not supported"),
        ({"compression": 5}, "a BMP with PNG inside, which is not supported"),
        ({"compression": 3, "size": 64, "bits": 1}, "a BMP of OS/2 with Huffman"),
        ({"compression": 1, "bits": 4}, "a BMP of 4 bits and compression 1, which is not supported"),
        ({"bits": 64}, "a BMP of 64 bits and compression 0, which is not supported"),
        ({"width": -6}, "no pixels: the header says -6 x 7"),
        ({"height": -(2**31)}, "more than the limit"),
        ({"compression": 3, "bits": 32, "masks": (0xF0F, 0xFF0000, 0xFF)}, "mask 0xf0f has gaps"),
    ],
)
def test_other_variants_are_refused_by_name(options: dict, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(bitmap(**{"bits": 24, "pixels": bytes(4000), **options}))


def test_what_is_missing_at_the_end_may_be_padding_and_no_more() -> None:
    data = bitmap(24, lines(random(1 << 24), 24))  # 39 bytes a row, and one of padding
    assert np.array_equal(decode(data[:-1]).pixels, decode(data).pixels)
    for end in range(14, len(data) - 1):
        with pytest.raises(ImageError):
            decode(data[:end])


def test_large_pictures_are_worked_on_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    values = random(1 << 32)
    data = bitmap(32, lines(values, 32), size=56, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    expected = decode(data).pixels
    monkeypatch.setattr(bmp, "_BAND", 2 * WIDTH)
    assert np.array_equal(decode(data).pixels, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [4, 8, 24])
def test_pixels_whose_place_is_left_out_follow_the_palette(bits: int, size: int) -> None:
    values = random(2**bits)
    colours = 2**bits if bits <= 8 else 0
    palette = np.random.default_rng(1).integers(0, 256, (colours, 3 if size == 12 else 4)).astype(np.uint8)
    data = bitmap(bits, lines(values, bits), size=size, palette=palette.tobytes())
    assert np.array_equal(decode(data[:10] + bytes(4) + data[14:]).pixels, decode(data).pixels)
