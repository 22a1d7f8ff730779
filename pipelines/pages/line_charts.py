"""Lines in a square from 0 to 1 as SVG: where they run, and what they say in words. Templates draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 240
"""Of a chart, in the units of its drawing."""


@dataclass(frozen=True)
class Line:
    """A line: its name, and its points as SVG writes them."""

    name: str
    points: str


@dataclass(frozen=True)
class LineChart:
    """Lines of a share over another one.

    Attributes:
        lines: each with a name.
        across, upward: what the two directions are.
        text: the same in a sentence, for who does not see it.
        has_diagonal: whether a line of equal shares is drawn.
        width, height: of the drawing.
    """

    lines: tuple[Line, ...]
    across: str
    upward: str
    text: str
    has_diagonal: bool = False
    width: int = WIDTH
    height: int = HEIGHT


def line(name: str, points: Sequence[tuple[float, float]]) -> Line:
    """A line through (across, upward) of 0 to 1 each.

    >>> line("a", [(0, 0), (1, 0.5)]).points
    '0,240 360,120'
    """
    return Line(name, " ".join(f"{round(x * WIDTH, 1):g},{round((1 - y) * HEIGHT, 1):g}" for x, y in points))
