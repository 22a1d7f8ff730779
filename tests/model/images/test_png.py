"""png: every kind of sample with every kind of transparency, and whatever stands between the chunks of pixels."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest

from lookalike.model.errors import ImageError
from lookalike.model.images import png
from lookalike.model.images.decode import decode

WIDTH, HEIGHT = 13, 11
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
KINDS = [(colours, depth) for colours, depths in DEPTHS.items() for depth in depths]


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows(samples: np.ndarray, depth: int) -> bytes:
    """Scan lines without a filter, of samples (height, width, channels)."""
    if not samples.size:
        return b""
    flat = samples.reshape(len(samples), -1)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8)
    else:
        bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
        packed = np.packbits(bits.reshape(len(flat), -1).astype(np.uint8), axis=1)
    return np.insert(packed, 0, 0, axis=1).tobytes()


def of(
    colours: int, depth: int, *, interlaced: bool = False, transparent: bool = False
) -> tuple[list, np.ndarray]:
    """Chunks of a picture, and its pixels on white."""
    random = np.random.default_rng(colours * 100 + depth)
    samples = random.integers(0, 2**depth, (HEIGHT, WIDTH, CHANNELS[colours]))
    full = 2**depth - 1
    palette = random.integers(0, 256, (2**depth, 3)) if colours == 3 else None
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colours, 0, 0, int(interlaced)))]
    alpha = np.ones((HEIGHT, WIDTH, 1))
    if palette is not None:
        chunks.append(chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
        values = palette[samples[..., 0]]
        if transparent:
            alphas = random.integers(0, 256, 2**depth - 1)  # shorter than the palette: the rest is opaque
            chunks.append(chunk(b"tRNS", alphas.astype(np.uint8).tobytes()))
            alpha = np.append(alphas, 255)[samples] / 255
    else:
        colour = samples[..., : 3 if colours in (2, 6) else 1]
        values = np.broadcast_to(colour * (255 / full), (HEIGHT, WIDTH, 3))
        if colours in (4, 6):
            alpha = samples[..., -1:] / full
        elif transparent:
            key = colour[0, 0]
            chunks.append(chunk(b"tRNS", key.astype(">u2").tobytes()))
            alpha = 1.0 - (colour == key).all(axis=-1, keepdims=True)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    lines = b"".join(rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in passes)
    chunks += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND")]
    return chunks, values * alpha + 255 * (1 - alpha)


def file(chunks: list[bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def difference(data: bytes, expected: np.ndarray) -> float:
    return float(np.abs(decode(data).pixels - expected).max())


def test_the_first_orientation_counts() -> None:
    chunks, expected = of(2, 8)
    turned, other = (
        chunk(b"eXIf", struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, value, 0, 0))
        for value in (6, 3)
    )
    data = file([chunks[0], turned, other, *chunks[1:]])
    assert np.abs(decode(data).pixels - np.rot90(expected, -1)).max() <= 1.01


@pytest.mark.parametrize(
    ("kind", "interlaced", "transparent"), list(itertools.product(KINDS, (False, True), (False, True)))
)
def test_every_kind_of_png(kind: tuple[int, int], interlaced: bool, transparent: bool) -> None:
    chunks, expected = of(*kind, interlaced=interlaced, transparent=transparent)
    assert difference(file(chunks), expected) <= 1.01


NAMES = (b"tRNS", b"IDAT", b"eXIf", b"IEND", b"PLTE")


@pytest.mark.parametrize("kind", KINDS)
def test_letters_of_a_chunk_in_a_comment_are_no_chunk(kind: tuple[int, int]) -> None:
    chunks, expected = of(*kind)
    text = chunk(b"tEXt", b"Comment\0" + b" ".join(NAMES) + struct.pack(">I", 1) + chunk(b"tRNS", b"\0\0"))
    assert difference(file([chunks[0], text, *chunks[1:-1], text, chunks[-1]]), expected) <= 1.01


FAULTS = ("short", "long", "empty", "checksum", "before PLTE", "behind IDAT")
# A palette may have fewer alphas than colours, and true colour has none to stand before.
POSSIBLE = [(c, f) for c in (0, 2, 3) for f in FAULTS if f not in {3: ("short",)}.get(c, ("before PLTE",))]


@pytest.mark.parametrize(("colours", "fault"), POSSIBLE)
def test_a_trns_that_does_not_count(colours: int, fault: str) -> None:
    chunks, expected = of(colours, 8 if colours == 2 else 4)
    right = {0: bytes(2), 2: bytes(6), 3: bytes(4)}[colours]
    trns = chunk(b"tRNS", {"short": right[:1], "long": right + bytes(13), "empty": b""}.get(fault, right))
    if fault == "checksum":
        trns = trns[:-1] + bytes([trns[-1] ^ 1])
    place = {"before PLTE": 1, "behind IDAT": len(chunks) - 1}.get(fault, len(chunks) - 2)
    assert difference(file([*chunks[:place], trns, *chunks[place:]]), expected) <= 1.01


def test_a_second_trns_and_a_second_palette_do_not_count() -> None:
    chunks, expected = of(3, 2, transparent=True)
    again = [chunk(b"PLTE", bytes(12)), chunk(b"tRNS", bytes(4))]
    assert difference(file([*chunks[:3], *again, *chunks[3:]]), expected) <= 1.01


def test_pixels_in_many_chunks_and_chunks_behind_a_gap() -> None:
    chunks, expected = of(2, 8)
    pixels = chunks[1][8:-4]
    pieces = [chunk(b"IDAT", pixels[at : at + 1]) for at in range(len(pixels))]
    assert difference(file([chunks[0], *pieces, chunks[2]]), expected) <= 1.01
    with pytest.raises(ImageError, match="PNG cut short or corrupt"):
        decode(file([chunks[0], *pieces[:9], chunk(b"tEXt", b"a\0b"), *pieces[9:], chunks[2]]))


def test_side_data_costs_no_memory() -> None:
    chunks, expected = of(2, 8)
    gigabyte = zlib.compressobj(9)
    packed = b"".join(gigabyte.compress(bytes(1 << 20)) for _ in range(64)) + gigabyte.flush()
    huge = [
        chunk(b"iCCP", b"profile\0\0" + packed),
        chunk(b"zTXt", b"Comment\0\0" + packed),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed),
    ]
    data = file([chunks[0], *huge, *chunks[1:-1], *huge, chunks[-1]])
    tracemalloc.start()
    assert difference(data, expected) <= 1.01
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert len(png.parts(data).pixels) == len(file(chunks))


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1000])
def test_a_chunk_that_claims_more_than_the_file_holds_is_refused(length: int) -> None:
    chunks, _ = of(2, 8)
    text = struct.pack(">I", length) + chunk(b"tEXt", b"Comment\0text")[4:]
    with pytest.raises(ImageError, match="PNG cut short or corrupt: it ends too early"):
        decode(file([chunks[0], text, *chunks[1:]]))


def test_what_is_missing_or_unknown_is_told() -> None:
    chunks, _ = of(3, 8)
    for kept, reason in (
        ([chunks[0], chunks[-1]], "no pixels"),
        (chunks[:-1], "it ends too early"),
        ([chunks[0], *chunks[2:]], "no palette"),
        ([chunks[0], chunk(b"CgBI", bytes(4)), *chunks[1:]], "Apple's own variant"),
        ([chunks[0], chunk(b"NEWS"), *chunks[1:]], "an unknown chunk b'NEWS'"),
    ):
        with pytest.raises(ImageError, match=reason):
            decode(file(kept))


def test_of_an_animation_the_still_picture_is_read() -> None:
    chunks, expected = of(2, 8)
    frame = chunk(b"fdAT", struct.pack(">I", 1) + zlib.compress(bytes(HEIGHT * (3 * WIDTH + 1))))
    control = chunk(b"acTL", struct.pack(">II", 2, 0))
    assert difference(file([chunks[0], control, chunks[1], frame, chunks[2]]), expected) <= 1.01


def test_large_pictures_are_worked_on_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_BAND", 3 * WIDTH)
    for kind in ((0, 16), (4, 16), (6, 16), (6, 8)):
        chunks, expected = of(*kind)
        assert difference(file(chunks), expected) <= 1.01


def test_a_file_far_larger_than_its_pixels_is_bloated() -> None:
    head = struct.pack(">IIBBBBB", 100, 50, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + bytes(4)
    most = 2 * 50 * (1 + 300) + (1 << 16)
    assert not png.is_bloated(data + bytes(most - len(data)))
    assert png.is_bloated(data + bytes(most - len(data) + 1))
    assert not png.is_bloated(data[:20])


@pytest.mark.parametrize("first", [2, 500, None])
def test_distances_beyond_what_the_file_promises_are_followed(first: int | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 400, 3)).astype(np.uint8)
    pixels = np.concatenate([noise, noise, noise])  # alike at 3,603 bytes
    packed = zlib.compress(rows(pixels, 8), 9)
    assert packed[0] == 0x78
    promised = bytes((0x18, 0xC0 + -0x18C0 % 31)) + packed[2:]  # 512 bytes
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 400, 9, 8, 2, 0, 0, 0))
    parts = [promised] if first is None else [promised[:first], promised[first:]]
    data = file([header, *(chunk(b"IDAT", part) for part in parts), chunk(b"IEND")])
    with pytest.raises(RuntimeError, match="too far back"):
        imagecodecs.png_decode(data)
    assert np.array_equal(decode(data).pixels, pixels)


def test_pixels_whose_checksum_is_wrong_are_refused_whatever_they_promise() -> None:
    packed = zlib.compress(rows(np.zeros((4, 4, 1), np.uint8), 8))
    promised = chunk(b"IDAT", bytes((0x18, 0xC0 + -0x18C0 % 31)) + packed[2:])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    with pytest.raises(ImageError):
        decode(file([header, promised[:-1] + bytes([promised[-1] ^ 1]), chunk(b"IEND")]))


def test_pixels_behind_other_chunks_are_not_read() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows(np.full((2, 4, 3), 9, np.uint8), 8)))
    behind = [chunk(b"tEXt", b"k\0v"), chunk(b"IDAT", b"more"), chunk(b"IEND")]
    assert (
        png.parts(file([header, pixels, *behind])).pixels
        == png.parts(file([header, pixels, chunk(b"IEND")])).pixels
    )


def test_a_transparent_colour_of_a_wrong_checksum_is_none() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows(np.full((2, 4, 3), 9, np.uint8), 8)))
    colour = chunk(b"tRNS", struct.pack(">HHH", 9, 9, 9))
    found = [
        png.parts(file([header, *before, pixels, chunk(b"IEND")])).pixels
        for before in ([], [colour[:-1] + b"!"], [colour])
    ]
    assert found[0] == found[1] != found[2]
