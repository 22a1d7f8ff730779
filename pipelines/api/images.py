"""Images as a program has them, each as the bytes of a file: what is only pixels becomes a PNG, which loses nothing."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lookalike.model.errors import ImageError, LookalikeError

from ..filesystem import files
from ..query.fetching import UnreadableError, fetch
from ..sources import SourceOptions

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    Image: TypeAlias = (
        bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | PillowImage | np.ndarray
    )
    """An image: the bytes of its file; its path or URL; the file, open; a PIL image; or pixels, uint8 (height, width),
    (height, width, 1), (height, width, 3) in RGB or (height, width, 4) in RGBA."""

_GREY = ("1", "L")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_WITHOUT_RANGE = ("I", "F")
_MOST_BYTES = 1 << 30
"""Of the pixels of an array; a PNG holds twice as many in one part."""
_OPTIONS = SourceOptions()


def each_image(images: Image | Iterable[Image]) -> Iterator[Image]:
    """The images, one after another, of one or several; an array of four dimensions is several."""
    if isinstance(images, (bytes, bytearray, memoryview, str, os.PathLike)) or hasattr(images, "read"):
        return iter([images])  # type: ignore[list-item]
    if _is_pillow(images):
        return iter([images])  # type: ignore[list-item]
    if isinstance(images, np.ndarray) and images.ndim < 4 and images.dtype != object:
        return iter([images])
    if not isinstance(images, Iterable):
        raise LookalikeError(f"Expected images. Received: {_kind(images)}")
    return iter(images)


def name_of(image: Image, position: int) -> str:
    """What errors call an image: its position, from 0, and its path if it is one."""
    return f"position {position}" + (
        f" ({os.fspath(image)})" if isinstance(image, (str, os.PathLike)) else ""
    )


def file_of(image: Image, position: int) -> bytes | UnreadableError:
    """The bytes of an image's file, or why there are none.

    Args:
        image: of any of the kinds.
        position: among the others, for errors.

    Raises:
        LookalikeError: for what is none of these kinds.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, os.PathLike)):
        return fetch(os.fspath(image), _OPTIONS)
    try:
        if isinstance(image, np.ndarray):
            return _of_pixels(image, position)
        if _is_pillow(image):
            return _of_pillow(image, position)
        if hasattr(image, "read") and isinstance(data := image.read(_OPTIONS.max_bytes + 1), bytes):
            return data if len(data) <= _OPTIONS.max_bytes else UnreadableError(_OPTIONS.too_large(len(data)))
    except ImageError as error:
        return UnreadableError(str(error))
    except OSError as error:
        return UnreadableError(files.reason(error))
    raise LookalikeError(
        f"Expected an image at position {position}: bytes, a path, a file open in binary, a PIL image or an array of "
        f"pixels. Received: {_kind(image)}"
    )


def _of_pixels(pixels: np.ndarray, position: int) -> bytes:
    if pixels.dtype != np.uint8:
        raise LookalikeError(
            f"Expected pixels of 0 to 255 in uint8 at position {position}. Received: {_kind(pixels)}"
        )
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)) or not pixels.size:
        raise LookalikeError(
            f"Expected pixels of shape (height, width), or (height, width, channels) with 1, 3 (RGB) or 4 (RGBA) "
            f"channels, at position {position}. Received: {_kind(pixels)}"
        )
    return _as_png(pixels)


def _of_pillow(image: Any, position: int) -> bytes:
    from PIL import Image as Pillow

    from lookalike.model.images import exif

    if image.mode in _WITHOUT_RANGE:
        raise LookalikeError(
            f"Expected a PIL image whose samples have a range, such as RGB or L, at position {position}. "
            f"Received: mode {image.mode}"
        )
    _check_size(image.width, image.height, len(image.getbands()))  # before its pixels are read
    try:
        image.load()
        # Not Pillow's exif_transpose, which where EXIF says nothing looks into XMP.
        orientation = exif.orientation(image.info.get("exif") or b"")
        if image.mode.startswith("I;16"):
            file = io.BytesIO()
            samples = exif.upright(np.asarray(image).astype(np.uint16)[..., None], orientation)
            Pillow.fromarray(samples[..., 0]).save(file, "PNG", compress_level=0)
            return file.getvalue()
        if image.mode in _WITH_ALPHA or "transparency" in image.info:
            mode = "RGBA"
        else:
            mode = "L" if image.mode in _GREY else "RGB"
        pixels = np.atleast_3d(np.asarray(image.convert(mode)))
        return _as_png(exif.upright(pixels, orientation))
    except (
        OSError,
        ValueError,
        SyntaxError,
    ) as error:  # what Pillow finds in a file that it opened, but not read yet
        raise ImageError(f"PIL cannot read it: {error}") from error


def _as_png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8, in a PNG that is neither filtered nor compressed.

    OpenCV and Pillow take seven times as long where they are to compress nothing.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    _check_size(width, height, channels)
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, level=0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _check_size(width: int, height: int, channels: int) -> None:
    if width * height * channels > _MOST_BYTES:
        raise ImageError(f"{width} x {height} pixels are too many for a PNG")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _is_pillow(image: object) -> bool:
    """Whether it is a PIL image, of which there is none where nobody has imported PIL."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__
