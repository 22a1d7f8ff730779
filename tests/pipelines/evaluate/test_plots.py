"""Plots are drawn whatever the ids, classes and pictures are like. How they look was seen by eye."""

import io

import numpy as np
import pyarrow as pa
import pytest

from lookalike.evaluate.report import _is_plot
from lookalike.model.measuring.calibration import Reliability
from tests.conftest import picture

plots = pytest.importorskip("lookalike.evaluate.plots")


def size(figure) -> tuple[int, int]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    data = buffer.getvalue()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def classes(count):
    names = [f"class $\\{i}_^ {'long ' * 10}" for i in range(count)]
    columns = {"class": names, "items": list(range(1, count + 1)), "map": np.linspace(0, 1, count)}
    columns["queries"] = [1] * count
    return pa.table({**columns, "group": [("head", "middle", "tail")[i % 3] for i in range(count)]})


def test_of_many_classes_only_the_ends_are_drawn():
    assert size(plots.class_bars(classes(1000), "job")) == size(
        plots.class_bars(classes(plots.MOST_BARS), "job")
    )
    figure = plots.class_bars(classes(1000), "job")
    assert figure.axes[0].get_title() == "job:\nthe 20 worst and the 20 best of 1,000 classes"
    assert len(figure.axes[0].patches) == plots.MOST_BARS


def test_a_plot_says_in_its_first_bytes_who_drew_it(tmp_path):
    path = plots._save(str(tmp_path), "precision-recall", plots.precision_recall({"a": np.zeros(11)}))
    assert _is_plot(path, str(tmp_path))


def test_a_curve_for_each_job_with_its_name():
    figure = plots.precision_recall({"a": np.linspace(1, 0, 11), "b, hard": np.zeros(11)})
    assert [line.get_label() for line in figure.axes[0].lines] == ["a", "b, hard"]
    size(figure)


def test_bins_of_probability_are_points_and_their_pairs_bars():
    found = Reliability(np.array([3, 7]), np.array([0.2, 0.9]), np.array([0.0, 1.0]))
    figure = plots.reliability_diagram(found, "job")
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.2, 0.0], [0.9, 1.0]]
    assert [bar.get_height() for bar in figure.axes[1].patches] == [3, 7]
    assert figure.axes[0].get_title() == "job: expected calibration error 0.1300"
    size(figure)


def test_pictures_that_are_missing_or_broken_leave_their_id_and_short_rankings_an_empty_place():
    rows = [
        {
            "query_id": "$q_1",
            "class": None,
            "map": 0.1,
            "top": ["a", "b"],
            "top_classes": [None, "x"],
            "top_grades": [1, 0],
        },
        {"query_id": "q2" * 60, "class": "x", "map": 0.2, "top": [], "top_classes": [], "top_grades": []},
    ]
    queries = plots.as_drawn([("$q_1", picture(1))])
    items = plots.as_drawn([("a", picture(2)), ("b", b"no image")])
    figure = plots.hardest(rows, queries, items, "job")
    size(figure)
    drawn = [bool(axes.images) for axes in figure.axes]
    assert drawn == [True, True, False, False, False, False] + [False] * 6
    right, wrong = figure.axes[1].spines["left"], figure.axes[2].spines["left"]
    assert right.get_linestyle() != wrong.get_linestyle()
    assert right.get_edgecolor() != wrong.get_edgecolor()
