"""Plots of an evaluation: precision-recall curves, bars of classes, reliability, and the queries that went worst.

Only this file imports matplotlib; it draws to PNG files and needs no display.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from lookalike.model.errors import ImageError, LookalikeError
from lookalike.model.images import MAX_PIXELS
from lookalike.model.images.isolated import decode
from lookalike.model.measuring.calibration import Reliability
from lookalike.model.measuring.retrieval_metrics import RECALL_LEVELS
from lookalike.model.printable import printable

from ..config.job import Config
from ..filesystem import files
from .job import Evaluation
from .measurements import TOP
from .pictures import each_item_picture, each_query_picture
from .report import DRAWN_BY
from .summary import GROUPS, ClassSizes, per_class

METRIC = "map"
"""Classes and queries are compared by this one."""
HARDEST = 8
MOST_BARS = 40
_SIDE = 200
"""Pixels of a picture's shorter side, and half of the longer."""
RIGHT, WRONG = "#1a7f37", "#cf222e"
GROUP_COLOURS = dict(zip(GROUPS, ("#1f5f99", "#5aa0d8", "#e08a1e"), strict=True))


def write_plots(
    out: str, evaluations: Sequence[Evaluation], configs: Sequence[Config], sizes: ClassSizes
) -> tuple[list[str], list[str]]:
    """Draws what can be drawn into the folder `out`.

    Args:
        out: folder.
        evaluations: of one or several jobs.
        configs: the job of each evaluation, which tells where its pictures are.
        sizes: how classes are grouped.

    Returns:
        Paths of the plots, and sentences for those that could not be drawn.

    Raises:
        OSError: if a plot cannot be written.
    """
    written, notes = [], []
    curves = {_title(e): e.curve for e in evaluations if e.curve is not None}
    if curves:
        written.append(_save(out, "precision-recall", precision_recall(curves)))
    for evaluation, config in zip(evaluations, configs, strict=True):
        if not len(evaluation.per_query):
            continue
        suffix = "" if len(evaluations) == 1 else "-" + re.sub(r"[^\w.-]+", "-", _title(evaluation))
        classes = per_class(evaluation, sizes)
        if len(classes):
            written.append(_save(out, f"per_class{suffix}", class_bars(classes, _title(evaluation))))
        if evaluation.calibrated:
            diagram = reliability_diagram(evaluation.calibrated.reliability, _title(evaluation))
            written.append(_save(out, f"calibration{suffix}", diagram))
        try:
            figure = _hardest(evaluation, config)
        except (LookalikeError, OSError) as error:
            reason = files.reason(error) if isinstance(error, OSError) else str(error)
            notes.append(f"hardest{suffix}.png is not drawn, the pictures cannot be read: {reason}")
        else:
            written.append(_save(out, f"hardest{suffix}", figure))
    return written, notes


def _title(evaluation: Evaluation) -> str:
    title = evaluation.name if evaluation.setup == "all" else f"{evaluation.name}, {evaluation.setup}"
    return _short(title, 200)


def _save(out: str, name: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    # Without the version of matplotlib the same figures give the same file.
    figure.savefig(buffer, format="png", dpi=120, metadata=dict([DRAWN_BY.decode().split("\0")]))
    path = files.join(out, f"{name}.png")
    files.write_bytes(path, buffer.getvalue())
    return path


def precision_recall(curves: Mapping[str, np.ndarray]) -> Figure:
    """Interpolated precision at recall 0, 0.1, ... 1, the mean over queries; name -> float64 (11,)."""
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    axes = figure.subplots()
    levels = np.linspace(0, 1, RECALL_LEVELS)
    for name, curve in curves.items():
        axes.plot(levels, curve, marker="o", markersize=4, label=name)
    axes.set(
        xlim=(-0.02, 1.02),
        ylim=(0, 1.02),
        xlabel="recall",
        ylabel="interpolated precision, mean over queries",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def reliability_diagram(found: Reliability, title: str) -> Figure:
    """The share of relevant pairs over their mean probability, bin by bin, and below how many pairs each bin has."""
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    axes, counts = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="as told")
    axes.plot(found.probability, found.relevant, marker="o", markersize=4, label="as it is")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of relevant pairs")
    axes.set_title(f"{title}: expected calibration error {found.error:.4f}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    counts.bar(found.probability, found.pairs, width=0.03)
    counts.set(xlabel="probability that was told, mean of the bin", ylabel="pairs")
    return figure


def class_bars(classes: pa.Table, title: str) -> Figure:
    """Mean average precision of each class, as `per_class` gives them: the worst first, of many only the ends."""
    rows = sorted(classes.to_pylist(), key=lambda row: (row[METRIC], row["class"]))
    half = MOST_BARS // 2
    shown = rows if len(rows) <= MOST_BARS else [*rows[:half], *rows[-half:]]
    figure = Figure(figsize=(8, 1.6 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.barh(
        places,
        [row[METRIC] for row in shown],
        color=[GROUP_COLOURS[row["group"]] for row in shown],
        height=0.75,
    )
    axes.set_yticks(
        places, [f"{_short(row['class'], 30)} ({row['items']:,}; {row['queries']:,})" for row in shown]
    )
    axes.invert_yaxis()
    axes.margins(y=0.01)
    for place, row in zip(places, shown, strict=True):
        axes.text(row[METRIC] + 0.01, place, f"{row[METRIC]:.2f}", va="center", fontsize=8)
    if len(shown) < len(rows):
        axes.axhline(half - 0.5, color="black", linewidth=0.8, linestyle="--")
        title += f":\nthe {half} worst and the {half} best of {len(rows):,} classes"
    axes.set(xlim=(0, 1.08), xlabel="mAP of the class's queries", title=title)
    axes.set_ylabel("class (items in the corpus; queries)")
    seen = [group for group in GROUPS if any(row["group"] == group for row in shown)]
    patches = [Patch(color=GROUP_COLOURS[group], label=group) for group in seen]
    figure.legend(handles=patches, loc="outside lower right", ncols=3, frameon=False)
    return figure


def _hardest(evaluation: Evaluation, config: Config) -> Figure:
    table = evaluation.per_query.sort_by([(METRIC, "ascending"), ("query_id", "ascending")])
    rows = table.slice(0, HARDEST).to_pylist()
    asked = {row["query_id"] for row in rows}
    found = {item_id for row in rows for item_id in row["top"]}
    of_queries = each_query_picture(config, evaluation.generation, evaluation.queries, asked)
    of_items = each_item_picture(config, evaluation.generation, found)
    most = config.corpus.max_pixels
    return hardest(rows, as_drawn(of_queries, most), as_drawn(of_items, most), _title(evaluation))


def as_drawn(pictures: Iterable[tuple[str, bytes]], max_pixels: int = MAX_PIXELS) -> dict[str, np.ndarray]:
    """Small pixels, uint8 (height, width, 3), of encoded images as they come: those of all would not fit into memory.

    Args:
        pictures: id and encoded image; one that cannot be decoded is left out.
        max_pixels: larger ones are refused.
    """
    small = {}
    for name, data in pictures:
        with contextlib.suppress(ImageError):
            pixels = decode(data, max_pixels=max_pixels, min_side=_SIDE, suspect=True).pixels
            scale = min(1.0, 2 * _SIDE / max(pixels.shape[:2]))
            width, height = (max(1, round(scale * side)) for side in pixels.shape[1::-1])
            small[name] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return small


def hardest(
    rows: Sequence[Mapping[str, Any]],
    query_pictures: Mapping[str, np.ndarray],
    item_pictures: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    """A line for each query: its picture and the first items, right ones framed in green, wrong ones in red dashes.

    Args:
        rows: of `Evaluation.per_query`.
        query_pictures, item_pictures: id -> pixels; where there is none, the id is written instead.
        title: of the figure.
    """
    figure = Figure(
        figsize=(1.75 * (TOP + 1), 0.6 + 2.1 * len(rows)),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06),
    )
    figure.suptitle(
        f"{title}: the queries with the lowest average precision, and their first {TOP} items\n"
        "green: relevant, red and dashed: not; the ids are in per_query.parquet",
        fontsize=10,
    )
    grid = figure.subplots(len(rows), TOP + 1, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        asked = f"QUERY {_short(row['class'] or '', 12)} AP {row[METRIC]:.3f}\n{_short(row['query_id'], 24)}"
        _picture(axes[0], row["query_id"], query_pictures, asked, "black", "-")
        cells = zip(row["top"], row["top_classes"], row["top_grades"], strict=True)
        for place, (item_id, of, grade) in enumerate(cells, 1):
            name = f"{place}  {_short(of or '', 20)}\n{_short(item_id, 24)}"
            frame = (RIGHT, "-") if grade > 0 else (WRONG, (0, (4, 2)))
            _picture(axes[place], item_id, item_pictures, name, *frame)
        for empty in axes[len(row["top"]) + 1 :]:
            empty.axis("off")
    return figure


def _picture(
    axes: Axes, name: str, pictures: Mapping[str, np.ndarray], title: str, colour: str, line: Any
) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=6.5, color=colour, pad=3)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.5, linestyle=line)
    pixels = pictures.get(name)
    if pixels is None:
        text = "\n".join(textwrap.wrap(_short(name, 80), 18))
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=6.5, transform=axes.transAxes)
        axes.set_aspect(1)
        return
    axes.imshow(pixels)
    # One size of cell for all, the picture in its middle.
    side = max(pixels.shape[:2]) / 2
    middle = pixels.shape[1] / 2, pixels.shape[0] / 2
    axes.set(xlim=(middle[0] - side, middle[0] + side), ylim=(middle[1] + side, middle[1] - side))


def _short(text: str, length: int) -> str:
    """Both ends of a long text in one line; $ would begin a formula."""
    text = printable(text)
    if len(text) > length:
        end = length // 2
        text = f"{text[: length - end - 1]}…{text[-end:]}"
    return text.replace("$", r"\$")
