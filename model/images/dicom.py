"""DICOM to RGB: pydicom decodes, and tensorflow-io the compressions that pydicom leaves to plugins.

tensorflow-io ends the process (segmentation fault) on corrupted RLE and JPEG 2000, and fills truncated raw pixels with
zeros: it reads only the compressions that pydicom cannot. There, 4,000 corrupted files each of JPEG extended and
JPEG-LS did it no harm.

As in `model.images.formats`, exceptions are not handled here.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from .. import imports
from ..errors import ImageError
from .formats import check_size
from .levels import AnyWindow, grey, stretched

# JPEG extended (12 bit), lossless, lossless first-order, JPEG-LS lossless and near-lossless.
_FOR_TENSORFLOW_IO = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (51, 57, 70, 80, 81))

_PIXEL_MODULE = (
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


def first_frame(data: bytes, max_pixels: int, window: AnyWindow | None) -> np.ndarray:
    """The first frame as RGB, uint8 (height, width, 3).

    Without a window grey values are stretched over 0..255 as they are stored: rescaling would only be linear. A window
    is applied to grey values after rescaling, to colours as they are stored.
    """
    pydicom = imports.pydicom()
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    if "Rows" not in header or "Columns" not in header:
        raise ImageError("DICOM without a picture")
    rows, columns = int(header.Rows), int(header.Columns)
    check_size(columns, rows, max_pixels)
    dataset = pydicom.dcmread(io.BytesIO(data))
    inverted = str(header.PhotometricInterpretation) == "MONOCHROME1"
    if header.file_meta.get("TransferSyntaxUID") in _FOR_TENSORFLOW_IO:
        if window and inverted:
            dataset.PhotometricInterpretation = "MONOCHROME2"
        frame = _by_tensorflow_io(_first_frame_alone(dataset))
        inverted = inverted and window is not None  # else DCMTK has done it
        if window and frame.ndim == 2 and header.PixelRepresentation:
            # DCMTK begins at 0: measured for 13, 14 and 16 bits.
            frame = frame - 2 ** (int(header.BitsStored) - 1)
    else:
        frame = _by_pydicom(dataset)
    if frame.shape[:2] != (rows, columns):
        raise ImageError(
            f"DICOM cut short or corrupt: {frame.shape[:2]} pixels where it says {rows, columns}"
        )
    if frame.ndim == 2:
        levels = window.apply(_rescaled(frame, header)) if window else stretched(frame)
        return grey(255 - levels if inverted else levels)
    if window:
        return window.apply(frame)
    if frame.dtype == np.uint8:
        return frame
    full = np.iinfo(frame.dtype).max if frame.dtype.kind in "ui" else 2.0 ** int(header.BitsStored) - 1
    return np.rint(np.clip(frame / full, 0, 1) * 255).astype(np.uint8)


def _rescaled(frame: np.ndarray, header: Any) -> np.ndarray:
    """Stored grey values (height, width) in the file's units: DICOM PS3.3 C.11.1.1.2."""
    if "ModalityLUTSequence" in header:
        return imports.pydicom().pixels.apply_modality_lut(frame, header)
    # Enhanced objects say it for all frames or for each, and not at the top.
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(groups) or [])[:1]:
            header = (group.get("PixelValueTransformationSequence") or [header])[0]
    given = header.get("RescaleSlope"), header.get("RescaleIntercept")
    slope, intercept = (default if x is None else float(x) for x, default in zip(given, (1, 0), strict=True))
    if not math.isfinite(slope) or not math.isfinite(intercept) or not slope:
        raise ImageError(
            f"DICOM with a rescale slope of {slope:g} and an intercept of {intercept:g}: no window can be laid on it"
        )
    return frame if (slope, intercept) == (1, 0) else frame * slope + intercept


def _by_pydicom(dataset: Any) -> np.ndarray:
    pixels = imports.pydicom().pixels
    frame = pixels.pixel_array(dataset, index=0)
    return (
        pixels.apply_color_lut(frame, dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR"
        else frame
    )


def _first_frame_alone(dataset: Any) -> bytes:
    """A DICOM file of nothing but the first frame, still compressed, and what says how to read it.

    DCMTK decompresses all frames, and believes lengths: one flipped byte in that of the pixels made it take
    18 s and 4 GB for a picture of 64 x 64.
    """
    pydicom = imports.pydicom()
    frames = int(dataset.get("NumberOfFrames") or 1)
    alone = pydicom.Dataset()
    for keyword in _PIXEL_MODULE:
        if keyword in dataset:
            setattr(alone, keyword, dataset.get(keyword))
    alone.PixelData = pydicom.encaps.encapsulate(
        [pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=frames)]
    )
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    alone.SOPClassUID, alone.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    alone.file_meta = pydicom.dataset.FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    stream = io.BytesIO()
    alone.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _by_tensorflow_io(data: bytes) -> np.ndarray:
    """The first frame, float32 (height, width) or (height, width, 3); DCMTK has inverted MONOCHROME1."""
    tf, tfio = imports.tensorflow(), imports.tensorflow_io()

    try:
        # Without on_error="strict" a failure is an empty tensor.
        frames = tfio.image.decode_dicom_image(data, on_error="strict", dtype=tf.float32).numpy()
    except tf.errors.InvalidArgumentError:
        raise ImageError("DICOM cut short or corrupt: its compressed pixels cannot be read") from None
    return frames[0, ..., 0] if frames.shape[-1] == 1 else frames[0]
