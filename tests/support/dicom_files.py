"""DICOM files by pydicom, of any transfer syntax."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian


def dicom_file(
    frames: np.ndarray | list[bytes],
    syntax: str = ExplicitVRLittleEndian,
    *,
    size: tuple[int, int] | None = None,
    keyword: str = "PixelData",
    **header: object,
) -> bytes:
    """A file of pixels.

    Args:
        frames: (frames, rows, columns) or (frames, rows, columns, 3), stored as they are; or codestreams, one a frame.
        size: rows and columns where codestreams are given.
        header: elements by their keyword, in place of those that follow from the pixels.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Rows, dataset.Columns = size or frames.shape[1:3]
    colour = not isinstance(frames, list) and frames.ndim == 4
    itemsize = 1 if isinstance(frames, list) else frames.itemsize
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.NumberOfFrames = len(frames)
    dataset.BitsAllocated = dataset.BitsStored = 8 * itemsize
    dataset.PixelRepresentation = int(not isinstance(frames, list) and frames.dtype.kind == "i")
    for name, value in header.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    if isinstance(frames, list):
        dataset.PixelData = pydicom.encaps.encapsulate(frames)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    else:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        raw = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
        setattr(dataset, keyword, raw + b"\0" * (len(raw) % 2))
        if keyword == "PixelData":
            dataset["PixelData"].VR = "OW" if itemsize > 1 else "OB"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def rle(frame: np.ndarray) -> bytes:
    """(rows, columns) or (rows, columns, samples) as a frame of RLE: DICOM PS3.5, annex G."""
    octets = frame.view(np.uint8).reshape(*frame.shape[:2], -1, frame.itemsize)
    segments = []
    for sample in range(octets.shape[2]):
        for place in range(frame.itemsize - 1, -1, -1):
            packed = bytes(imagecodecs.packbits_encode(np.ascontiguousarray(octets[:, :, sample, place])))
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(len(s) for s in segments[:number]) for number in range(len(segments))]
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def deflated(header: bytes, *tail: bytes) -> bytes:
    """A deflated file: `header` is a whole file, of which the pixels are left out; `tail` is what comes there."""
    import zlib

    stream = io.BytesIO(header)
    pydicom.dcmread(stream, stop_before_pixels=True)
    start = 144 + int.from_bytes(header[140:144], "little")
    meta = dicom_file(np.zeros((1, 1, 1), np.uint8), DeflatedExplicitVRLittleEndian)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [squeeze.compress(part) for part in (header[start : stream.tell()], *tail)]
    return b"".join([meta[: 144 + int.from_bytes(meta[140:144], "little")], *parts, squeeze.flush()])
