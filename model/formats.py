"""The decoders behind `model.decode`: file bytes to upright RGB, uint8 (height, width, 3).

Which library reads what was decided by trying whole, truncated and corrupted files (times: 400 x 534):

- WebP, AVIF: Pillow 2.9 and 4.4 ms, tensorflow-io 12.5 and 21.2 ms. tensorflow-io also drops the transparency
  and the rotation of AVIF, and refuses animated WebP.
- TIFF: tensorflow-io fills what is missing of a truncated file with black, premultiplies colours by alpha,
  turns orientations 5 to 8 wrongly and refuses float samples. Pillow does none of these, and is faster.
- PNG: TensorFlow 5.3 ms, Pillow 7.2; both notice truncation. (Pillow has no colour deeper than 8 bits.)
- BMP: TensorFlow returns the indices of a palette as if they were grey levels.
- DICOM: tensorflow-io ends the process (segmentation fault) on corrupted RLE and JPEG 2000, and fills
  truncated raw pixels with zeros: it reads only the compressions that pydicom cannot. There, 4,000 corrupted
  files each of JPEG extended and JPEG-LS did it no harm.

Exceptions are not handled here: `model.decode.decode` turns every one of them into an `ImageError`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from model.errors import ImageError

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
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

# JPEG extended (12 bit), lossless, lossless first-order, JPEG-LS lossless and near-lossless.
_DICOM_FOR_TENSORFLOW_IO = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (51, 57, 70, 80, 81))

_DICOM_PIXEL_MODULE = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)


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
    """Composite uint8 (height, width, 4), alpha not premultiplied, on white: uint8 (height, width, 3)."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    alpha = alpha.astype(np.uint16)
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def by_pillow(data: bytes, max_pixels: int, name: str) -> np.ndarray:
    """Decode with Pillow the first frame of an AVIF, BMP, GIF, JPEG, TIFF or WebP file."""
    with _PLUGINS[name](io.BytesIO(data)) as picture:
        check_size(*picture.size, max_pixels)
        picture.load()  # of TIFF, this applies the orientation and removes it from the EXIF data
        return upright(_rgb(picture), orientation_of(picture))


def _rgb(picture: ImageFile.ImageFile) -> np.ndarray:
    if picture.mode.startswith("I;16"):
        return _grey(_from_16_bit(np.asarray(picture).astype(np.uint16)))
    if picture.mode in ("I", "F"):
        return _grey(_stretched(np.asarray(picture)))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        return on_white(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def _from_16_bit(samples: np.ndarray) -> np.ndarray:
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _stretched(samples: np.ndarray) -> np.ndarray:
    """Samples of no fixed range to uint8: the least becomes 0, the greatest 255."""
    values = np.nan_to_num(samples.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def _grey(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples[..., None], 3, axis=-1)


def _webp(data: bytes, max_pixels: int) -> np.ndarray:
    # libwebp's decoder sets its canvas aside when it is opened, before Pillow can tell the size.
    if data[12:16] == b"VP8X" and len(data) >= 30:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        check_size(width, height, max_pixels)
    return by_pillow(data, max_pixels, "WebP")


def _png(data: bytes, max_pixels: int) -> np.ndarray:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise ImageError("PNG cut short or corrupt: no header")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    check_size(width, height, max_pixels)

    import tensorflow as tf

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
    pixels = _from_16_bit(pixels) if deep else pixels
    pixels = on_white(pixels) if transparent else pixels
    if b"eXIf" in data:
        pixels = upright(pixels, orientation_of(PngImagePlugin.PngImageFile(io.BytesIO(data))))
    return pixels


def _dicom(data: bytes, max_pixels: int) -> np.ndarray:
    """The first frame. Grey values are stretched over 0..255: windows and rescaling would only be linear."""
    import pydicom
    from pydicom.pixels import apply_color_lut, pixel_array

    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise ImageError("DICOM without a picture")
    rows, columns = int(header.Rows), int(header.Columns)
    check_size(columns, rows, max_pixels)
    kind = str(header.PhotometricInterpretation)
    dataset = pydicom.dcmread(io.BytesIO(data))
    if header.file_meta.get("TransferSyntaxUID") in _DICOM_FOR_TENSORFLOW_IO:
        frame = _dicom_by_tensorflow_io(_first_frame_alone(dataset))
        kind = kind.replace("MONOCHROME1", "MONOCHROME2")
    else:
        frame = pixel_array(dataset, index=0)
        if kind == "PALETTE COLOR":
            frame = apply_color_lut(frame, header)
    if frame.shape[:2] != (rows, columns):
        raise ImageError(
            f"DICOM cut short or corrupt: {frame.shape[:2]} pixels where it says {rows, columns}"
        )
    if frame.ndim == 2:
        grey = _stretched(frame)
        return _grey(255 - grey if kind == "MONOCHROME1" else grey)
    if frame.dtype == np.uint8:
        return frame
    full = np.iinfo(frame.dtype).max if frame.dtype.kind in "ui" else 2.0 ** int(header.BitsStored) - 1
    return np.rint(np.clip(frame / full, 0, 1) * 255).astype(np.uint8)


def _first_frame_alone(dataset: Any) -> bytes:
    """A DICOM file of nothing but the first frame, still compressed, and what says how to read it.

    DCMTK decompresses all frames, and believes lengths: one flipped byte in that of the pixels made it take
    18 s and 4 GB for a picture of 64 x 64.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate, get_frame

    frames = int(dataset.get("NumberOfFrames") or 1)
    alone = Dataset()
    for keyword in _DICOM_PIXEL_MODULE:
        if keyword in dataset:
            setattr(alone, keyword, dataset.get(keyword))
    alone.PixelData = encapsulate([get_frame(dataset.PixelData, 0, number_of_frames=frames)])
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    alone.SOPClassUID, alone.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    stream = io.BytesIO()
    alone.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _dicom_by_tensorflow_io(data: bytes) -> np.ndarray:
    """The first frame, float32 (height, width) or (height, width, 3); DCMTK has inverted MONOCHROME1."""
    import tensorflow as tf
    import tensorflow_io as tfio

    try:
        # Without on_error="strict" a failure is an empty tensor.
        frames = tfio.image.decode_dicom_image(data, on_error="strict", dtype=tf.float32).numpy()
    except tf.errors.InvalidArgumentError:
        raise ImageError("DICOM cut short or corrupt: its compressed pixels cannot be read") from None
    return frames[0, ..., 0] if frames.shape[-1] == 1 else frames[0]


DECODERS: dict[str, Callable[[bytes, int], np.ndarray]] = {
    **{name: partial(by_pillow, name=name) for name in ("AVIF", "BMP", "GIF", "TIFF")},
    "DICOM": _dicom,
    "PNG": _png,
    "WebP": _webp,
}
"""Every format but JPEG: (file bytes, max_pixels) -> upright RGB, uint8 (height, width, 3)."""
