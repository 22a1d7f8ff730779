"""Samples of any depth to the 256 levels of a picture: windows, and what is done where none is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def ramp(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 255 above `high`, a straight line between: numbers of any shape to uint8 of that shape.

    NaN becomes 0.
    """
    size = samples.dtype.itemsize
    if samples.dtype.kind in "ui" and size <= 2:
        # All values there can be, once: a tenth of the memory that floats of the whole picture take.
        values = np.arange(256**size).astype(f"u{size}").astype(f"{samples.dtype.kind}{size}")
        return _ramp(values, low, high)[samples.astype(f"u{size}")]
    return _ramp(samples, low, high)


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
        finite = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples
        if not finite.size:
            return np.zeros(samples.shape, np.uint8)
        # A sample of the picture and nothing between two, so that grey as three channels gives what one gives.
        low, high = np.percentile(finite, (self.low, self.high), method="inverted_cdf")
        return ramp(samples, float(low), float(high))


AnyWindow = Window | PercentileWindow


def from_16_bit(samples: np.ndarray) -> np.ndarray:
    """uint16 to uint8, by 1/257."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def stretched(samples: np.ndarray) -> np.ndarray:
    """Samples of no fixed range to uint8: the least becomes 0, the greatest 255."""
    values = np.nan_to_num(samples.astype(np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def grey(levels: np.ndarray) -> np.ndarray:
    """(height, width) to RGB, (height, width, 3)."""
    return np.repeat(levels[..., None], 3, axis=-1)
