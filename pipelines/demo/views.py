"""Views of photographs for the demo, as a catalogue would hold them: cropped, turned, recoloured, recompressed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lookalike.model.errors import ImageError
from lookalike.model.images.isolated import decode

from ..query.fetching import UnreadableError, fetch
from ..sources import SourceOptions

LONGEST_SIDE = 1024
"""Photographs are reduced to this before views are made of them."""


def open_photograph(path: Path) -> np.ndarray:
    """Decodes a photograph: uint8 (height, width, 3), RGB, no side longer than `LONGEST_SIDE`.

    Raises:
        ImageError: if it cannot be read, or not as an image.
    """
    data = fetch(str(path), SourceOptions())
    if isinstance(data, UnreadableError):
        raise ImageError(str(data))
    pixels = decode(data, min_side=LONGEST_SIDE, suspect=True).pixels
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    return _resized(pixels, scale) if scale < 1 else pixels


def views(pixels: np.ndarray, count: int, seed: list[int]) -> Iterator[tuple[str, bytes]]:
    """Different views of one photograph, each a file of its own format and quality.

    Args:
        pixels: the photograph, uint8 (height, width, 3), RGB.
        count: how many.
        seed: the same seed gives the same views.

    Yields:
        (extension, content of the file).
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield _encoded(_recoloured(_reframed(pixels, rng), rng), rng)


def _reframed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of 40 to 100 % of the area, perhaps flipped, turned by up to 15 degrees, at another scale."""
    height, width = pixels.shape[:2]
    area, aspect = rng.uniform(0.4, 1.0), np.exp(rng.uniform(-0.2, 0.2))
    down = min(height, max(1, round(height * np.sqrt(area / aspect))))
    across = min(width, max(1, round(width * np.sqrt(area * aspect))))
    top, left = rng.integers(height - down + 1), rng.integers(width - across + 1)
    part = pixels[top : top + down, left : left + across]
    part = _resized(part, rng.uniform(256, 448) / max(part.shape[:2]))
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.5:
        centre = (part.shape[1] / 2, part.shape[0] / 2)
        turn = cv2.getRotationMatrix2D(centre, rng.uniform(-15, 15), 1.0)
        size = part.shape[1::-1]
        part = cv2.warpAffine(np.ascontiguousarray(part), turn, size, borderMode=cv2.BORDER_REFLECT_101)
    return part


def _resized(pixels: np.ndarray, scale: float) -> np.ndarray:
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=method)


def _recoloured(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other brightness, contrast, saturation and white balance."""
    values = pixels.astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * np.float32(rng.uniform(0.5, 1.3))
    mean = values.mean()
    values = mean + (values - mean) * np.float32(rng.uniform(0.7, 1.3))
    values *= rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _encoded(pixels: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    extension = str(rng.choice(["jpg", "webp", "png"], p=[0.6, 0.25, 0.15]))
    quality = int(rng.integers(40, 96))
    settings = {
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "png": [],
    }
    done, content = cv2.imencode(f".{extension}", pixels[..., ::-1], settings[extension])
    assert done, extension
    return extension, content.tobytes()


def broken_files(whole_jpeg: bytes) -> dict[str, bytes]:
    """What real catalogues have among their images: name -> content of files that are none.

    Args:
        whole_jpeg: a JPEG file, of which one shows the first half.
    """
    return {
        "bomb.png": _png_that_claims(65_000, 65_000),
        "empty.jpg": b"",
        "error-page.jpg": b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n",
        "lfs-pointer.webp": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 48213\n",
        "text.jpg": b"The photographer will send this one next week.\n",
        "truncated.jpg": whole_jpeg[: len(whole_jpeg) // 2],
        "zeros.jpg": bytes(4096),
    }


def _png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
