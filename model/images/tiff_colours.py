"""The colours of TIFF that are not RGB to RGB, uint8 (height, width, 3), some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ImageError
from .levels import bands, from_16_bit

_LAB_TO_LINEAR = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
) * np.array([0.96422, 1, 0.82521], np.float32)
"""XYZ as shares of the white D50, which is TIFF's in practice, to linear sRGB: the matrix of Bruce Lindbloom
(brucelindbloom.com, XYZ to RGB, sRGB adapted to D50 by Bradford's method)."""


def by_palette(indices: np.ndarray, colormap: np.ndarray | None) -> np.ndarray:
    """Look up (height, width) in a colour map, uint16 (3, entries).

    Many writers give levels of 8 bits instead of 16: so a map is read of which no entry is above 255.

    Raises:
        ImageError: there is no map, or an index beyond it.
    """
    if colormap is None or indices.dtype.kind not in "bu":
        raise ImageError("TIFF cut short or corrupt: a palette picture without its colour map")
    colours = np.asarray(colormap).T
    colours = np.ascontiguousarray(
        from_16_bit(colours) if colours.max(initial=0) > 255 else colours.astype(np.uint8)
    )
    if int(indices.max()) >= len(colours):
        raise ImageError(f"TIFF cut short or corrupt: colour {indices.max()} of a map of {len(colours)}")
    return _by_rows(lambda rows: colours[rows.astype(np.uint16)], indices)


def from_cmyk(levels: np.ndarray) -> np.ndarray:
    """CMYK of 8 bits, (height, width, 4), without a profile: what no ink and no black leave of the light."""

    def convert(rows: np.ndarray) -> np.ndarray:
        light = 255 - rows.astype(np.uint16)
        return (light[..., :3] * light[..., 3:] + 127) // 255

    return _by_rows(convert, levels)


def from_ycbcr(
    levels: np.ndarray, coefficients: Sequence[int] | None, ends: Sequence[int] | None
) -> np.ndarray:
    """YCbCr of 8 bits, (height, width, 3): TIFF 6.0, sections 20 and 21.

    Args:
        levels: Y, Cb and Cr.
        coefficients: the tag YCbCrCoefficients, three fractions; those of CCIR 601 if None.
        ends: the tag ReferenceBlackWhite, six fractions; 0 to 255 round 128 if None.
    """
    red, green, blue = _fractions(coefficients) if coefficients else (0.299, 0.587, 0.114)
    low, high, *centers = _fractions(ends) if ends else (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
    cb_zero, cb_high, cr_zero, cr_high = centers
    if 0 in (green, high - low, cb_high - cb_zero, cr_high - cr_zero):
        raise ImageError("TIFF cut short or corrupt: YCbCr coefficients or reference levels that cannot be")

    def convert(rows: np.ndarray) -> np.ndarray:
        y, cb, cr = np.moveaxis(rows.astype(np.float32), -1, 0)
        y = (y - low) * (255 / (high - low))
        cb, cr = (cb - cb_zero) * (127 / (cb_high - cb_zero)), (cr - cr_zero) * (127 / (cr_high - cr_zero))
        r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
        return _rounded(np.stack([r, (y - blue * b - red * r) / green, b], axis=-1))

    return _by_rows(convert, levels)


def from_lab(samples: np.ndarray, signed: bool) -> np.ndarray:
    """L*a*b* of 8 or 16 bits, (height, width, 3), under D50: TIFF 6.0, section 23, and ICC.1:2022, 6.3.4.2.

    Args:
        samples: as they are stored.
        signed: a* and b* are signed, CIELab; else 128 (or 0x8000) is their zero, ICCLab.

    Raises:
        ImageError: of another depth.
    """
    if samples.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"TIFF of L*a*b* samples of type {samples.dtype}, which is not supported")
    unit = 1 if samples.dtype == np.uint8 else 256
    top = 255 * unit if unit == 1 or not signed else 65535

    def convert(rows: np.ndarray) -> np.ndarray:
        lightness = rows[..., 0].astype(np.float32) * (100 / top)
        chroma = (
            rows[..., 1:].view(f"i{rows.itemsize}").astype(np.float32)
            if signed
            else rows[..., 1:] - np.float32(128 * unit)
        )
        y = (lightness + 16) / 116
        roots = np.stack([y + chroma[..., 0] / (500 * unit), y, y - chroma[..., 1] / (200 * unit)], axis=-1)
        # CIE 15:2004, 8.2.1.1, turned round.
        linear = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (3 * (6 / 29) ** 2)) @ _LAB_TO_LINEAR.T
        linear = np.clip(linear, 0, 1)
        return _rounded(
            255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        )

    return _by_rows(convert, samples)


def _fractions(values: Sequence[int]) -> list[float]:
    """TIFF's rationals, a numerator and a denominator each."""
    return [above / below for above, below in zip(values[::2], values[1::2], strict=True)]


def _rounded(levels: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(levels, 0, 255))


def _by_rows(convert: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    pixels = np.empty((*samples.shape[:2], 3), np.uint8)
    for rows in bands(samples):
        pixels[rows] = convert(samples[rows])
    return pixels
