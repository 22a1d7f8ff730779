"""Pictures to be decoded: a flag in every format, smooth noise, and the DICOM samples of pydicom's wheel."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pil
from pydicom.data import get_testdata_file

WIDTH, HEIGHT = 48, 32
COLOURS = {"top_left": (220, 30, 30), "top_right": (30, 200, 40), "bottom": (40, 60, 210)}


def flag() -> np.ndarray:
    """uint8 (32, 48, 3): red and green above, blue below, so that no orientation looks like another."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = COLOURS["top_left"]
    pixels[: HEIGHT // 2, WIDTH // 2 :] = COLOURS["top_right"]
    pixels[HEIGHT // 2 :] = COLOURS["bottom"]
    return pixels


def saved(picture: Pil.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def opencv(extension: str, rgb: np.ndarray) -> bytes:
    return cv2.imencode(extension, rgb[..., ::-1] if rgb.ndim == 3 else rgb)[1].tobytes()


def dicom_sample(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


RGB = Pil.fromarray(flag())
GIF_FRAMES = {"save_all": True, "append_images": [Pil.new("RGB", RGB.size)]}
# name -> file, largest difference of a colour in the middle of its field
FILES: dict[str, tuple[bytes, int]] = {
    "jpeg": (saved(RGB, "JPEG", quality=95, subsampling=0), 4),
    "jpeg progressive": (saved(RGB, "JPEG", quality=95, subsampling=0, progressive=True), 4),
    "jpeg cmyk": (saved(RGB.convert("CMYK"), "JPEG", quality=95), 5),
    "png": (saved(RGB, "PNG"), 0),
    "png palette": (saved(RGB.quantize(8), "PNG"), 1),
    "png 16 bit": (opencv(".png", flag().astype(np.uint16) * 257), 0),
    "bmp": (saved(RGB, "BMP"), 0),
    "bmp palette": (saved(RGB.quantize(8), "BMP"), 1),
    "gif": (saved(RGB, "GIF"), 1),
    "gif animated": (saved(RGB, "GIF", **GIF_FRAMES), 1),
    "webp": (saved(RGB, "WEBP", quality=95), 12),
    "webp lossless": (saved(RGB, "WEBP", lossless=True), 0),
    "webp animated": (saved(RGB, "WEBP", lossless=True, **GIF_FRAMES), 0),
    "avif": (saved(RGB, "AVIF", quality=95), 12),
    "tiff": (saved(RGB, "TIFF"), 0),
    "tiff lzw": (saved(RGB, "TIFF", compression="tiff_lzw"), 0),
    "tiff jpeg": (saved(RGB, "TIFF", compression="jpeg", quality=95), 12),
    "tiff palette": (saved(RGB.quantize(8), "TIFF"), 1),
    "tiff 16 bit": (opencv(".tiff", flag().astype(np.uint16) * 257), 1),
    "tiff cmyk": (saved(RGB.convert("CMYK"), "TIFF"), 1),
}


def assert_flag(pixels: np.ndarray, tolerance: int) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    for place, (y, x) in {"top_left": (7, 11), "top_right": (7, 37), "bottom": (24, 24)}.items():
        assert np.abs(pixels[y, x].astype(int) - COLOURS[place]).max() <= tolerance, place


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, 3): smooth, as photographs mostly are, with some noise."""
    noise = np.random.default_rng(seed)
    coarse = Pil.fromarray(noise.integers(0, 256, (12, 12, 3), np.uint8)).resize((width, height), Pil.BICUBIC)
    return np.clip(np.asarray(coarse) + noise.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)
