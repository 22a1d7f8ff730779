"""The page of an evaluation: two jobs on the same queries, side by side, and their numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.pages.answers import AnswersOptions
from lookalike.pages.evaluation import evaluation_page
from lookalike.pages.job import report
from tests.conftest import run, zoo_pictures
from tests.support.browser import browser, opened
from tests.support.hostile_names import NAMES


@pytest.fixture(scope="module")
def made(tmp_path_factory, zoo) -> Path:
    """Folder of an evaluation of two jobs with hostile names of queries; the second finds in the opposite order."""
    folder = tmp_path_factory.mktemp("evaluation")
    pictures = list(zoo_pictures(start=100).values())
    for number, name in enumerate(NAMES):
        place = folder / "queries" / ("cat" if number % 2 else "dog") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pictures[number])
    zoo.loaded  # noqa: B018 - writes the job file
    for name in ("<b>first", "second"):
        shutil.copy(zoo.config, folder / f"{name}.yaml")
    jobs = ("-c", folder / "<b>first.yaml", "-c", folder / "second.yaml")
    how = ("--queries", folder / "queries", "--relevance", "directory", "--no-plots", "--resamples", 100)
    done = run("evaluate", *jobs, *how, "-o", folder / "out")
    assert done.code == 0, done
    path = folder / "out" / "per_query.parquet"
    rows = pq.read_table(path)
    turned = [
        row | {name: row[name][::-1] for name in ("top", "top_grades")} if row["job"] == "second" else row
        for row in rows.to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(turned, rows.schema), path)
    return folder / "out"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


def page_of(folder: Path, **options: Any) -> str:
    usual: dict[str, Any] = {"config": None, "queries": None, "rows": 99}
    found = evaluation_page(str(folder), str(folder / "report.html"), **usual | options)
    assert found
    return found.html


def test_every_query_is_in_one_count_and_shown_with_both_sides(made) -> None:
    html = page_of(made)
    counts = [int(number) for number in re.findall(r"<dd>(\d+)</dd>", html)]
    assert counts[0] == sum(counts[1:]) == 6
    assert html.count('<li class="row"') == 6
    assert html.count('<p class="side">') == 12
    assert html.count("<img") == 6 + 6 * 2 * 5
    rows = pq.read_table(made / "per_query.parquet").to_pylist()
    assert html.count('class="frame good"') == sum(grade > 0 for row in rows for grade in row["top_grades"])


def test_numbers_are_those_of_the_report(made) -> None:
    html = page_of(made)
    told = json.loads((made / "evaluation.json").read_text())
    for one in told["evaluations"]:
        found = one["metrics"]["map"]
        assert f"<bdi>{found['low']:.4f} to {found['high']:.4f}</bdi>" in html
    assert "second less &lt;b&gt;first: 6 queries in pairs" in html
    assert html.count("<polyline") == 4  # two lines and their legend


def test_one_job_and_a_calibration_have_their_page(zoo, made, tmp_path) -> None:
    shutil.copytree(made, tmp_path / "out")
    path = tmp_path / "out" / "evaluation.json"
    told = json.loads(path.read_text())
    told["evaluations"] = told["evaluations"][:1]
    told["comparisons"] = []
    told["evaluations"][0]["calibration"] = {
        **{"method": "isotonic", "fitted": True, "k": 10, "pairs": 60, "relevant": 0.5},
        **dict.fromkeys(("ece_equal_width", "ece_equal_mass", "log_loss", "brier"), 0.0123),
        "log_losses": {},
        "fitted_to": {"pairs": 60, "queries": 6, "relevance": "directory", "generation": "x"},
        "scores": [{"score": 0.5, "probability": p, "relevant": p, "pairs": 6} for p in (0.25, 0.75)],
    }
    path.write_text(json.dumps(told))
    html = page_of(tmp_path / "out")
    assert 'points="90,180 270,60"' in html
    assert "expected calibration error of 0.0123" in html
    assert html.count('<p class="side">') == 6


def test_what_is_beyond_the_wanted_is_counted(made) -> None:
    html = page_of(made, rows=2)
    assert html.count('<li class="row"') == 2
    assert "only in the table" in html


def test_an_evaluation_that_tells_no_job_asks_for_it(zoo, made, tmp_path) -> None:
    shutil.copytree(made, tmp_path / "out")
    path = tmp_path / "out" / "evaluation.json"
    told = json.loads(path.read_text())
    del told["jobs"]
    path.write_text(json.dumps(told))
    with pytest.raises(LookalikeError, match="-c with the job file of <b>first"):
        page_of(tmp_path / "out")
    assert "--queries was not given" in page_of(tmp_path / "out", config=zoo.loaded)
    path.write_text('{"evaluations": []}')
    with pytest.raises(LookalikeError, match=r"Expected in .*evaluation\.json"):
        page_of(tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluations", []),
        ("evaluations", [7]),
        ("comparisons", [{"queries": []}]),
        ("settings", None),
        ("relevance", "\ud800"),
        ("jobs", [1]),
        (None, "[" * 100_000),
    ],
)
def test_an_evaluation_that_was_changed_is_one_sentence(made, tmp_path, key, value) -> None:
    path = Path(shutil.copytree(made, tmp_path / "out")) / "evaluation.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {key: value}) if key else value)
    if key != "relevance":
        with pytest.raises(LookalikeError, match=r"evaluation\.json what `lookalike evaluate` writes there"):
            page_of(tmp_path / "out")
    else:
        assert "\ud800" not in page_of(tmp_path / "out")


def test_a_folder_without_an_evaluation_has_no_page(tmp_path) -> None:
    assert evaluation_page(str(tmp_path), "page.html", None, None, 1) is None


@pytest.mark.slow
def test_names_are_text_and_the_page_is_the_same_bytes(made, chromium) -> None:
    page = Path(report(str(made), None, None, AnswersOptions()).page)
    before = page.read_bytes()
    report(str(made), None, None, AnswersOptions())
    assert page.read_bytes() == before
    for width, script in ((320, True), (1280, False)):
        one = opened(chromium, page, viewport={"width": width, "height": 800}, java_script_enabled=script)
        assert NAMES[0] in one.page.text_content("main")
        assert one.page.locator("img[onerror], iframe, svg[onload], main script, h1 b").count() == 0
        assert one.page.locator(".row:visible").count() == 6
        if script:
            assert one.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (one.said, one.asked_for) == ([], [])
