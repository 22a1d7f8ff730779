"""Pictures of other domains, made by rule: drawings of photographs, and scans in the units of a CT.

No real drawing and no patient is in them. The tests and benchmarks/domains.py use them.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np

STYLES = ("pencil", "ink")
TISSUES = ("even", "fine", "coarse", "striped", "spotted", "meshed")
SOFT_TISSUE = (40, 160)
"""Centre and width, HU, of the window in which tissues differ."""


def drawing(photograph: bytes, style: str) -> bytes:
    """A photograph as a drawing, PNG: `pencil` has shades of grey, `ink` black lines on white."""
    grey = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_GRAYSCALE)
    if style == "pencil":
        # Colour dodge: what is as dark as its surroundings becomes paper, what is darker a stroke.
        drawn = cv2.divide(grey, cv2.GaussianBlur(grey, (0, 0), 8), scale=256)
    else:
        lines = cv2.Canny(cv2.GaussianBlur(grey, (0, 0), 1.5), 30, 90)
        drawn = 255 - cv2.dilate(lines, np.ones((2, 2), np.uint8))
    return cv2.imencode(".png", drawn)[1].tobytes()


def scan(tissue: str, number: int, size: int = 160) -> np.ndarray:
    """A slice: int16 (size, size), Hounsfield units.

    Air, a body of soft tissue, a rim and a few grains of bone, one of metal: -1000 to 3000. Tissues differ in their
    texture only, by 40 HU at the most; where things are and how large has nothing to do with them.
    """
    random = np.random.default_rng([number, TISSUES.index(tissue)])
    y, x = np.mgrid[:size, :size] / size - 0.5
    turn = random.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    u, v = u - random.uniform(-0.04, 0.04), v - random.uniform(-0.04, 0.04)
    radius = np.hypot(u / random.uniform(0.38, 0.46), v / random.uniform(0.32, 0.42))
    units = np.full((size, size), -1000.0)
    units[radius < 1] = 700
    inside = radius < 0.92
    units[inside] = (40 + random.uniform(14, 20) * _texture(tissue, u, v, random))[inside]
    for value in (1200, 900, 600, 3000):
        row, column = random.uniform(-0.22, 0.22, 2)
        units[np.hypot(u - row, v - column) < random.uniform(0.015, 0.04)] = value
    return np.rint(units + random.normal(0, 4, units.shape)).astype(np.int16)


def _texture(tissue: str, u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """-1 to 1, about."""
    phase = random.uniform(0, 2 * np.pi, 2)
    if tissue in ("fine", "coarse"):
        noise = cv2.GaussianBlur(random.normal(size=u.shape), (0, 0), 1.2 if tissue == "fine" else 5)
        return np.clip(noise / (2 * noise.std()), -1, 1)
    across = np.sin(2 * np.pi * random.uniform(13, 17) * u + phase[0])
    along = np.sin(2 * np.pi * random.uniform(13, 17) * v + phase[1])
    return {
        "even": np.zeros(u.shape),
        "striped": across,
        "spotted": np.where(across + along > 1.1, 1.0, -0.5),
        "meshed": np.where(np.maximum(across, along) > 0.8, 1.0, -0.5),
    }[tissue]


def dicom(
    stored: np.ndarray, *, intercept: float | None = None, slope: float | None = 1, **header: Any
) -> bytes:
    """An uncompressed grey DICOM file.

    Args:
        stored: int16, uint16 or uint8 (height, width): what is in the file, before rescaling.
        intercept, slope: of the rescaling; none without an intercept.
        header: further elements, such as PhotometricInterpretation.
    """
    from pydicom.dataset import Dataset, FileMetaDataset

    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = stored.shape
    made.BitsAllocated = made.BitsStored = 8 * stored.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    if intercept is not None:
        made.RescaleSlope, made.RescaleIntercept = slope, intercept
    made.PixelData = stored.tobytes()
    made["PixelData"].VR = "OW"
    for keyword, value in header.items():
        setattr(made, keyword, value)
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def scan_file(tissue: str, number: int, form: str = "dicom", size: int = 160) -> bytes:
    """A scan as DICOM, unsigned with an intercept of -1024, or as 16-bit PNG, in which 1024 is 0 HU."""
    stored = (scan(tissue, number, size) + 1024).clip(0).astype(np.uint16)
    return dicom(stored, intercept=-1024) if form == "dicom" else cv2.imencode(".png", stored)[1].tobytes()
