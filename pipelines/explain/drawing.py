"""An explanation as one picture: the two pictures, their maps, and lines between the places that agree most."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from lookalike.model.explaining.explainer import Explanation
from lookalike.model.explaining.similarity import strongest_pairs
from lookalike.model.printable import printable

PictureFormat = Literal["png", "jpeg"]
COLOURS = "magma"
"""Of matplotlib: brighter is always more, also in grey and for every kind of colour blindness."""
PAIRS = 6
_OPACITY = 0.6
_GAP = 0.04
"""Between the two pictures, in their widths."""
_LINE = 0.08
"""Of text above a picture, in its height."""


def drawn(
    explanation: Explanation,
    query_name: str,
    match_name: str,
    *,
    pairs: int = PAIRS,
    picture_format: PictureFormat = "png",
    dpi: int = 110,
) -> bytes:
    """An explanation as an encoded picture of 6.8 x 7.6 inches; the same bytes for the same explanation.

    Args:
        explanation: what is drawn.
        query_name, match_name: what people call the two pictures.
        pairs: of places, how many are joined by lines at most.
        picture_format: of the bytes.
        dpi: pixels an inch.
    """
    figure = Figure(figsize=(6.8, 7.6), layout="constrained")
    figure.suptitle(f"score {explanation.score:.3f}, cosine by the float network", fontsize=13)
    above, below = figure.subplots(2, 1)
    pixels = explanation.query_pixels, explanation.match_pixels
    _place(above, pixels, [f"query: {_short(query_name)}", f"match: {_short(match_name)}"])
    if explanation.pairs is not None:
        _join(above, explanation.pairs, pixels[0], pairs)

    maps = explanation.query_map, explanation.match_map
    least, most = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    scale = Normalize(min(least, 0.0), max(most, 1e-9))
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in pixels]
    _place(below, grey, [_sum_of(one, explanation.adds_up) for one in maps], cmap="gray", vmin=0, vmax=255)
    # Only the picture gets a smooth map: the numbers are those of the places.
    smooth = [cv2.resize(one, grey[0].shape[::-1], interpolation=cv2.INTER_CUBIC) for one in maps]
    _place(below, smooth, cmap=COLOURS, norm=scale, alpha=_OPACITY)
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=below, location="bottom", shrink=0.6, pad=0.02)
    unit = (
        "share of a place in the score" if explanation.adds_up else "loss of score where a place is covered"
    )
    bar.set_label(unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return _encoded(figure, picture_format, dpi)


def _sum_of(shares: np.ndarray, adds_up: bool) -> str:
    places = f"{shares.shape[0]} x {shares.shape[1]} places"
    return (
        f"{places}, together {shares.sum():.3f}" if adds_up else f"{places}; they do not add up to the score"
    )


def _place(axes: Axes, pictures: Sequence[np.ndarray], titles: Sequence[str] = (), **options: Any) -> None:
    """Shows two pictures of one size beside each other, in pixels of the first."""
    height, width = pictures[0].shape[:2]
    lefts = 0, _left_of_match(width)
    for left, picture in zip(lefts, pictures, strict=True):
        axes.imshow(picture, extent=(left, left + width, height, 0), **options)
    for left, title in zip(lefts, titles, strict=False):
        axes.text(left + width / 2, -_LINE / 3 * height, title, fontsize=8.5, ha="center")
    axes.set(xlim=(0, lefts[1] + width), ylim=(height, -_LINE * height))
    axes.axis("off")


def _left_of_match(width: int) -> float:
    return (1 + _GAP) * width


def _join(axes: Axes, shares: np.ndarray, pixels: np.ndarray, count: int) -> None:
    """Lines between the strongest pairs of places, as wide as they are strong, numbered at both ends."""
    height, width = pixels.shape[:2]
    found = strongest_pairs(shares, count)
    rows, columns, match_rows, match_columns = shares.shape
    for number, (row, column, match_row, match_column) in enumerate(found):
        ends = [
            ((column + 0.5) * width / columns, (row + 0.5) * height / rows),
            (
                _left_of_match(width) + (match_column + 0.5) * width / match_columns,
                (match_row + 0.5) * height / match_rows,
            ),
        ]
        colour = colormaps["viridis"](1 - 0.65 * number / max(1, len(found) - 1))
        strength = float(shares[found[number]] / shares[found[0]])
        # Bent to one side or the other, so that lines in one row of places can be told apart.
        bend = f"arc3,rad={0.08 if number % 2 else -0.08}"
        for widened, drawn_in in ((1.5, "black"), (0, colour)):
            axes.add_patch(
                FancyArrowPatch(
                    *ends,
                    connectionstyle=bend,
                    arrowstyle="-",
                    shrinkA=0,
                    shrinkB=0,
                    color=drawn_in,
                    linewidth=0.6 + 2 * strength + widened,
                    zorder=3,
                )
            )
        for x, y in ends:
            axes.plot(x, y, "o", color=colour, markersize=12, markeredgecolor="black", zorder=4)
            axes.text(x, y, str(number + 1), fontsize=8, ha="center", va="center_baseline", zorder=5)


def _encoded(figure: Figure, picture_format: PictureFormat, dpi: int) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib the same explanation gives the same file.
    options: dict[str, Any] = (
        {"metadata": {"Software": None}} if picture_format == "png" else {"pil_kwargs": {"quality": 85}}
    )
    figure.savefig(buffer, format=picture_format, dpi=dpi, **options)
    return buffer.getvalue()


def _short(text: str, length: int = 32) -> str:
    """Both ends of a long name in one line; $ would begin a formula."""
    text = printable(text)
    if len(text) > length:
        end = length // 2
        text = f"{text[: length - end - 1]}…{text[-end:]}"
    return text.replace("$", r"\$")
