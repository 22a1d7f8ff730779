"""Samples of any depth to the 256 levels of a picture: windows, and what is done where none is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_BAND = 1 << 18
"""Samples that are worked on at a time: a picture of 100 megapixels as float64 would be 800 MB a step."""


def bands(samples: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis that cover it in order, each of some rows."""
    rows = max(1, _BAND * len(samples) // max(samples.size, 1))
    return (slice(top, top + rows) for top in range(0, len(samples), rows))


def by_bands(convert: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    """What `convert` makes of numbers of any shape, uint8 of that shape; it is given some rows at a time."""
    levels = np.empty(samples.shape, np.uint8)
    # One row may be the whole picture.
    flat = samples.reshape(-1) if samples.flags.c_contiguous else samples
    done = levels.reshape(flat.shape)
    for rows in bands(flat):
        done[rows] = convert(flat[rows])
    return levels


def ramp(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 255 above `high`, a straight line between: numbers of any shape to uint8 of that shape.

    NaN becomes 0.
    """
    size = samples.dtype.itemsize
    if samples.dtype.kind in "ui" and size <= 2:
        # All values there can be, once.
        values = np.arange(256**size).astype(f"u{size}").astype(f"{samples.dtype.kind}{size}")
        table = _ramp(values, low, high)
        return by_bands(lambda band: table[band.astype(f"u{size}")], samples)
    return by_bands(lambda band: _ramp(band, low, high), samples)


def _ramp(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    values = samples.astype(np.float64)
    if low == high:
        return np.where(values > high, 255, 0).astype(np.uint8)
    shares = np.clip((values - low) / (high - low), 0, 1)
    return np.rint(np.nan_to_num(shares) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Window:
    """The levels round a centre: DICOM PS3.3 C.11.2.1.2.1, function LINEAR, with 0 and 255 as its ends.

    Attributes:
        center: in the units of the samples.
        width: 1 or more, in the same units.
    """

    center: float
    width: float

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """Numbers of any shape to uint8 of that shape."""
        middle, half = self.center - 0.5, (self.width - 1) / 2
        return ramp(samples, middle - half, middle + half)


@dataclass(frozen=True)
class PercentileWindow:
    """The levels between two percentiles of the picture's own samples.

    Attributes:
        low, high: 0 <= low < high <= 100.
    """

    low: float
    high: float

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """Numbers of any shape to uint8 of that shape; 0 everywhere if they are all the same."""
        return ramp(samples, *self.ends(samples))

    def ends(self, samples: np.ndarray) -> list[float]:
        """The samples at the two percentiles."""
        return _percentiles(samples, (self.low, self.high))


def _percentiles(samples: np.ndarray, percents: tuple[float, ...]) -> list[float]:
    """Samples of the picture and nothing between two, so that grey as three channels gives what one gives.

    That is `numpy.percentile` with the method inverted_cdf: Hyndman and Fan, 1996, definition 1. Zeros if no sample
    is finite.
    """
    if samples.dtype.kind in "ui" and samples.dtype.itemsize <= 2:
        least = int(np.iinfo(samples.dtype).min)
        counts = sum(
            np.bincount(samples[rows].ravel().astype(np.intp) - least, minlength=256**samples.dtype.itemsize)
            for rows in bands(samples)
        )
        ranks = [max(0, math.ceil(samples.size * (percent / 100) - 1)) for percent in percents]
        return [float(least + value) for value in np.searchsorted(np.cumsum(counts), ranks, side="right")]
    finite = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples.ravel().copy()
    if not finite.size:
        return [0.0 for _ in percents]
    return [float(x) for x in np.percentile(finite, percents, method="inverted_cdf", overwrite_input=True)]


AnyWindow = Window | PercentileWindow
ABOVE_NAN = 16
"""The level of the least sample where some are NaN: a sixteenth of the levels, as below black in video."""


def from_16_bit(samples: np.ndarray) -> np.ndarray:
    """uint16 to uint8, by 1/257."""
    return by_bands(lambda band: ((band.astype(np.uint32) + 128) // 257).astype(np.uint8), samples)


def stretched(samples: np.ndarray) -> np.ndarray:
    """Samples of no fixed range to uint8: the least finite one becomes 0, the greatest 255.

    NaN is no level. Where there is one it becomes 0, and the least finite sample `ABOVE_NAN`: so what is no sample can
    be told from the darkest one. Infinities become the ends.
    """
    low, high, has_nan = _ends(samples)
    least = ABOVE_NAN if has_nan else 0
    factor = (255 - least) / max(high - low, 1e-12)

    def convert(band: np.ndarray) -> np.ndarray:
        values = np.nan_to_num(band.astype(np.float64), nan=low, posinf=high, neginf=low)
        levels = np.rint((values - low) * factor + least).astype(np.uint8)
        if has_nan:
            levels[np.isnan(band)] = 0
        return levels

    return by_bands(convert, samples)


def _ends(samples: np.ndarray) -> tuple[float, float, bool]:
    """The least and the greatest finite sample, zeros if there is none; and whether there is a NaN."""
    low, high, has_nan = math.inf, -math.inf, False
    for rows in bands(samples):
        band = samples[rows]
        if band.dtype.kind == "f":
            has_nan = has_nan or bool(np.isnan(band).any())
            band = band[np.isfinite(band)]
        if band.size:
            low, high = min(low, float(band.min())), max(high, float(band.max()))
    return (low, high, has_nan) if low <= high else (0.0, 0.0, has_nan)


def composed_on_white(colours: np.ndarray, alpha: np.ndarray, *, premultiplied: bool = False) -> np.ndarray:
    """Composite colours on white, some rows at a time.

    Args:
        colours: uint8 or uint16 (height, width, channels).
        alpha: the same type, (height, width, 1).
        premultiplied: the colours are multiplied by alpha already.

    Returns:
        As `colours`, contiguous.
    """
    white = int(np.iinfo(colours.dtype).max)
    if alpha.min() == white:
        return np.ascontiguousarray(colours)
    wide: Any = np.uint16 if white == 255 else np.uint32
    composed = np.empty(colours.shape, colours.dtype)
    for rows in bands(colours):
        light, share = colours[rows].astype(wide), alpha[rows].astype(wide)
        if premultiplied:
            composed[rows] = np.minimum(light + (white - share), white)
        else:
            composed[rows] = (light * share + white * (white - share) + white // 2) // white
    return composed


def grey(levels: np.ndarray) -> np.ndarray:
    """(height, width) to RGB, (height, width, 3)."""
    return np.repeat(levels[..., None], 3, axis=-1)
