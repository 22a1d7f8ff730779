"""The decoders behind `model.images.decode`: file bytes to upright RGB, uint8 (height, width, 3).

Which library reads what was decided by trying whole, truncated and corrupted files (times: 400 x 534):

- WebP, AVIF: Pillow 2.9 and 4.4 ms, tensorflow-io 12.5 and 21.2 ms. tensorflow-io also drops the transparency
  and the rotation of AVIF, and refuses animated WebP.
- TIFF: tensorflow-io fills what is missing of a truncated file with black, premultiplies colours by alpha,
  turns orientations 5 to 8 wrongly and refuses float samples. Pillow takes planar 16-bit samples for noise and 12 bits
  for black, and gives memory that was not decoded back from damaged strips: see `model.images.tiff_codecs`.

Exceptions are not handled here: `model.images.decode.decode` turns every one of them into an `ImageError`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import (
    GifImagePlugin,
    IcoImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PpmImagePlugin,
    QoiImagePlugin,
    WebPImagePlugin,
)

from ..errors import ImageError, TooManyPixelsError
from . import exif
from .levels import AnyWindow, composed_on_white, from_16_bit, grey

# The classes themselves rather than PIL.Image.open: that applies Pillow's own size limit, a global of the
# process, and would try every format.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNM": PpmImagePlugin.PpmImageFile,
    "QOI": QoiImagePlugin.QoiImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

_WEBP_PIXELS, _WEBP_CHUNKS = 14_000_000, 1000


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture by the size its header claims.

    Raises:
        ImageError: no width or height.
        TooManyPixelsError: `width` x `height` is above `max_pixels`.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f"no pixels: the header says {width} x {height}")
    total = width * height
    if total > max_pixels:
        size = f"{width} x {height} = {total:,} pixels"
        raise TooManyPixelsError(f"{size}, more than the limit of {max_pixels:,}")


def check_room(size: int) -> None:
    """Raises MemoryError if this process has no room for `size` bytes more; where there is, none of it is touched."""
    np.empty(size, np.uint8)


@contextlib.contextmanager
def or_without_room(size: int) -> Iterator[None]:
    """Context for a decoder that needs `size` bytes, and calls it damage if there are fewer: that is a MemoryError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception:
        check_room(size)
        raise


def orientation_of(picture: ImageFile.ImageFile) -> int:
    """The EXIF orientation of an opened picture; 1 where there is none, or the EXIF data cannot be read."""
    # Not getexif, which where EXIF says nothing looks into XMP.
    return exif.orientation(picture.info.get("exif") or b"")


def on_white(rgba: np.ndarray, *, premultiplied: bool = False) -> np.ndarray:
    """Composite uint8 or uint16 (height, width, 4) on white: the same, (height, width, 3)."""
    return composed_on_white(rgba[..., :3], rgba[..., 3:], premultiplied=premultiplied)


def on_white_8_bit(
    samples: np.ndarray, window: AnyWindow | None, *, premultiplied: bool = False
) -> np.ndarray:
    """Samples of full range to RGB on white: uint8 (height, width, 3).

    Args:
        samples: uint8 or uint16, (height, width) or (height, width, 1 to 4): grey or RGB, alpha behind it if
            there are 2 or 4.
        premultiplied: the colours are multiplied by alpha already.
    """
    if samples.dtype == np.uint16 and not window:
        samples = from_16_bit(samples)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    if samples.ndim == 3 and samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    if samples.ndim == 3 and samples.shape[2] == 4:
        samples = on_white(samples, premultiplied=premultiplied)
    levels = window.apply(samples) if window else samples
    return grey(levels) if levels.ndim == 2 else levels


def by_pillow(data: bytes, max_pixels: int, window: AnyWindow | None, name: str) -> np.ndarray:
    """Decode with Pillow the first frame of a file of one of `_PLUGINS`."""
    with _PLUGINS[name](io.BytesIO(data)) as picture:
        check_size(*picture.size, max_pixels)
        picture.load()
        return exif.upright(_rgb(picture, window), orientation_of(picture))


def _rgb(picture: ImageFile.ImageFile, window: AnyWindow | None) -> np.ndarray:
    if picture.mode.startswith("I"):  # PNM of 16 bits
        samples = np.asarray(picture).astype(np.uint16)
        return grey(window.apply(samples) if window else from_16_bit(samples))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        pixels = on_white(np.asarray(picture.convert("RGBA")))
    else:
        pixels = np.asarray(picture.convert("RGB"))
    return window.apply(pixels) if window else pixels


def _webp(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    # libwebp's decoder sets its canvas aside when it is opened, before Pillow can tell the size.
    if size := _webp_size(data):
        check_size(*size, max_pixels)
        check_room(8 * size[0] * size[1])  # two canvases; of what it lacks libwebp says nothing
    # So for what it notes of each chunk, 40 bytes where the file has 8 at least.
    with or_without_room(6 * len(data)):
        return by_pillow(data, max_pixels, window, "WebP")


def is_costly_webp(data: bytes) -> bool:
    """Whether it takes much more memory than the pixels of a photograph, 23 bytes each.

    Pillow copies what is not pixels, and libwebp notes every chunk in 40 bytes: 190 MB of empty ones took 1.2 GB.
    """
    width, height = _webp_size(data) or (0, 0)
    if width * height > _WEBP_PIXELS or len(data) > 4 * width * height + (1 << 16):
        return True
    at = 12
    for _ in range(_WEBP_CHUNKS):
        if at + 8 > len(data):
            return False
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return True


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the first chunk says (RFC 9649, sections 2.7 and 3.4; RFC 6386, 9.1), if it does."""
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _gif(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """The first frame; what it leaves out of the canvas is transparent, as in browsers."""
    with GifImagePlugin.GifImageFile(io.BytesIO(data)) as picture:
        check_size(*picture.size, max_pixels)
        if not picture.tile:
            raise ImageError("no pixels: the first frame is empty")
        left, top, right, bottom = picture.tile[0].extents or (0, 0, *picture.size)
        picture.load()
        frame = _rgb(picture, None)
        pixels = np.full_like(frame, 255)
        pixels[top:bottom, left:right] = frame[top:bottom, left:right]
        return window.apply(pixels) if window else pixels


def _ico(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """The largest picture. Alpha that is 0 everywhere is none: its writer knew only of the mask, as browsers see it."""
    picture = IcoImagePlugin.IcoImageFile(io.BytesIO(data))
    check_size(*picture.size, max_pixels)
    entry = picture.ico.entry[picture.ico.getentryindex(picture.size)]
    picture.load()
    check_size(*picture.size, max_pixels)  # of the picture inside, which may be larger than the list says
    if picture.mode != "RGBA":
        return _rgb(picture, window)
    rgba = np.array(picture)
    if not rgba[..., 3].any() and not data.startswith(b"\x89PNG", entry.offset):
        height, width = rgba.shape[:2]
        row = (width + 31) // 32 * 4
        mask = np.frombuffer(data, np.uint8, height * row, entry.offset + entry.size - height * row)
        hidden = np.unpackbits(mask.reshape(height, row), axis=1, count=width)[::-1]
        rgba[..., 3] = 255 * (1 - hidden)
    pixels = on_white(rgba)
    return window.apply(pixels) if window else pixels


Decoder = Callable[[bytes, int, AnyWindow | None], np.ndarray]
DECODERS: dict[str, Decoder] = {
    **{name: partial(by_pillow, name=name) for name in ("PNM", "QOI")},
    "GIF": _gif,
    "ICO": _ico,
    "WebP": _webp,
}
"""(file bytes, max_pixels, window) -> upright RGB, uint8 (height, width, 3)."""
