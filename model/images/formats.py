"""The decoders behind `model.images.decode`: file bytes to upright RGB, uint8 (height, width, 3).

Which library reads what was decided by trying whole, truncated and corrupted files (times: 400 x 534):

- WebP, AVIF: Pillow 2.9 and 4.4 ms, tensorflow-io 12.5 and 21.2 ms. tensorflow-io also drops the transparency
  and the rotation of AVIF, and refuses animated WebP.
- TIFF: tensorflow-io fills what is missing of a truncated file with black, premultiplies colours by alpha,
  turns orientations 5 to 8 wrongly and refuses float samples. Pillow takes planar 16-bit samples for noise and 12 bits
  for black, and gives memory that was not decoded back from damaged strips: see `model.images.tiff_codecs`.
- PNG: TensorFlow 5.3 ms, Pillow 7.2; both notice truncation. (Pillow has no colour deeper than 8 bits.)
- BMP: TensorFlow returns the indices of a palette as if they were grey levels.

Exceptions are not handled here: `model.images.decode.decode` turns every one of them into an `ImageError`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from .. import imports
from ..errors import ImageError
from .levels import AnyWindow, composed_on_white, from_16_bit

_EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)
"""The EXIF orientations in which width and height change places."""

# The classes themselves rather than PIL.Image.open: that applies Pillow's own size limit, a global of the
# process, and would try every format.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture by the size its header claims.

    Raises:
        ImageError: no width or height, or `width` x `height` above `max_pixels`.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f"no pixels: the header says {width} x {height}")
    total = width * height
    if total > max_pixels:
        size = f"{width} x {height} = {total:,} pixels"
        raise ImageError(f"{size}, more than the limit of {max_pixels:,}")


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation.

    Args:
        pixels: (height, width, channels), as stored.
        orientation: 1 to 8, as in Exif 2.32, tag 0x0112; anything else counts as 1.

    Returns:
        (height, width, channels) or, for 5 to 8, (width, height, channels); contiguous.
    """
    if orientation in TURNED:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def orientation_of(picture: ImageFile.ImageFile) -> int:
    """The EXIF orientation of an opened picture; 1 where there is none, or the EXIF data cannot be read."""
    try:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a camera's broken EXIF block is no reason to lose the picture
        return 1


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Composite uint8 or uint16 (height, width, 4), alpha not premultiplied, on white: the same, (height, width, 3)."""
    return composed_on_white(rgba[..., :3], rgba[..., 3:])


def by_pillow(data: bytes, max_pixels: int, window: AnyWindow | None, name: str) -> np.ndarray:
    """Decode with Pillow the first frame of an AVIF, BMP, GIF, JPEG or WebP file."""
    with _PLUGINS[name](io.BytesIO(data)) as picture:
        check_size(*picture.size, max_pixels)
        picture.load()
        return upright(_rgb(picture, window), orientation_of(picture))


def _rgb(picture: ImageFile.ImageFile, window: AnyWindow | None) -> np.ndarray:
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        pixels = on_white(np.asarray(picture.convert("RGBA")))
    else:
        pixels = np.asarray(picture.convert("RGB"))
    return window.apply(pixels) if window else pixels


def _webp(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    # libwebp's decoder sets its canvas aside when it is opened, before Pillow can tell the size.
    if data[12:16] == b"VP8X" and len(data) >= 30:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        check_size(width, height, max_pixels)
    return by_pillow(data, max_pixels, window, "WebP")


def _png(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("PNG cut short or corrupt: no header")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    check_size(width, height, max_pixels)

    tf = imports.tensorflow()

    deep = data[24] == 16
    # Four channels only where there is transparency: to pictures of 1, 2 or 4 bits TensorFlow adds an alpha
    # of 1, 3 or 15, not 255.
    transparent = bool(data[25] & 4) or b"tRNS" in data[: data.find(b"IDAT")]
    channels, dtype = (4 if transparent else 3), (tf.uint16 if deep else tf.uint8)
    try:
        pixels = tf.io.decode_png(data, channels=channels, dtype=dtype).numpy()
    except tf.errors.InvalidArgumentError:
        # TensorFlow says no more than "Invalid PNG data", and how long it was.
        raise ImageError("PNG cut short or corrupt") from None
    pixels = from_16_bit(pixels) if deep and not window else pixels
    pixels = on_white(pixels) if transparent else pixels
    pixels = window.apply(pixels) if window else pixels
    if b"eXIf" in data:
        pixels = upright(pixels, orientation_of(PngImagePlugin.PngImageFile(io.BytesIO(data))))
    return pixels


Decoder = Callable[[bytes, int, AnyWindow | None], np.ndarray]
DECODERS: dict[str, Decoder] = {
    **{name: partial(by_pillow, name=name) for name in ("AVIF", "BMP", "GIF")},
    "PNG": _png,
    "WebP": _webp,
}
"""(file bytes, max_pixels, window) -> upright RGB, uint8 (height, width, 3)."""
