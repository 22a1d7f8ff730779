"""Small charts as SVG: where bars stand, and what they say in words. Templates draw them (`macros.html`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 640, 120
"""Of a chart, in the units of its drawing; it is scaled to the page."""
BINS = 40


@dataclass(frozen=True)
class Bar:
    """A bar of a chart, from the left and top, and what it says."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Bars over an axis.

    Attributes:
        bars: from left to right; those of height 0 are left out.
        ticks: labels below the axis, spread evenly over its width.
        text: the same in a sentence, for who does not see it.
        width, height: of the drawing without the axis.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[str, ...]
    text: str
    width: int = WIDTH
    height: int = HEIGHT


def histogram(values: np.ndarray, what: str, unit: str, bins: int = BINS) -> Chart | None:
    """How often values occur, from the lowest to the highest; None where there are none that are finite.

    Args:
        values: float (n,).
        what: is counted, in the plural, such as `queries`.
        unit: of the values, such as `best score`.
        bins: bars at most.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, edges = np.histogram(values.astype(np.float64), bins=bins if np.ptp(values) > 0 else 1)
    labels = [
        f"{low:.3g} to {high:.3g}: {n:,} {what}"
        for n, low, high in zip(counts, edges, edges[1:], strict=False)
    ]
    low, quarter, median, high_quarter, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    text = (
        f"{unit[:1].upper()}{unit[1:]} of {len(values):,} {what}: from {low:.3f} to {high:.3f}, half of them between "
        f"{quarter:.3f} and {high_quarter:.3f}, median {median:.3f}."
    )
    ticks = tuple(f"{value:.2f}" for value in (low, (low + high) / 2, high))
    return Chart(_bars(counts.tolist(), labels), ticks, text)


def bars(counts: Sequence[float], labels: Sequence[str], ticks: Sequence[str], text: str) -> Chart:
    """A bar for each count.

    Args:
        counts: none below 0.
        labels: what each bar says.
        ticks: labels below the axis, spread evenly over its width.
        text: the chart in a sentence.
    """
    return Chart(_bars(counts, labels), tuple(ticks), text)


def _bars(counts: Sequence[float], labels: Sequence[str]) -> tuple[Bar, ...]:
    step, most = WIDTH / max(1, len(counts)), max(counts, default=0) or 1
    gap = min(2.0, step / 5)
    return tuple(
        # One that is not nothing can be seen.
        Bar(
            round(n * step + gap / 2, 2), round(HEIGHT - tall, 2), round(step - gap, 2), round(tall, 2), label
        )
        for n, (value, label) in enumerate(zip(counts, labels, strict=True))
        if value > 0 and (tall := max(1.5, HEIGHT * value / most))
    )
