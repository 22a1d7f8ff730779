"""The page of duplicates: what could go is counted as the table has it, and shown beside what is kept."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lookalike.duplicates.results import SCHEMA
from lookalike.model.errors import LookalikeError
from lookalike.pages.answers import AnswersOptions
from lookalike.pages.duplicates import duplicates_page
from lookalike.pages.job import report
from lookalike.query.tables import FORMATS, open_table, table_name
from tests.conftest import Job, run
from tests.support.browser import browser, opened
from tests.support.hostile_names import NAMES, TEXTS


@pytest.fixture(scope="module")
def copies(tmp_path_factory, encoder, pictures) -> Job:
    """Each of a few pictures under three names, and one alone."""
    job = Job(tmp_path_factory.mktemp("copies"), encoder)
    images = list(pictures.values())
    named = {f"{n}-{start}": images[n] for n in range(3) for start in "abc"}
    job.pack(
        {**dict(zip(NAMES, images[10:], strict=False)), "again.jpg": images[10], **named, "alone": images[5]}
    )
    job.nightly()
    done = job.run("duplicates", "--out", job.folder / "found", "--min-score", 0.9999)
    assert done.code == 0, done
    return job


@pytest.fixture
def found(copies, tmp_path) -> Path:
    """The folder of duplicates, to be changed."""
    shutil.copytree(copies.folder / "found", tmp_path / "found")
    return tmp_path / "found"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


def test_counts_are_those_of_the_table_and_what_is_kept_comes_first(copies) -> None:
    folder = copies.folder / "found"
    made = duplicates_page(str(folder), str(folder / "report.html"), None, 400)
    assert made
    rows = pq.read_table(folder / "duplicates.parquet").to_pylist()
    kept = sum(row["keep"] for row in rows)
    counts = re.findall(r"<dd>(\d+)</dd>", made.html)
    assert counts[:3] == [str(len(rows)), str(kept), str(len(rows) - kept)] == ["11", "4", "7"]
    assert made.html.count('class="frame good"') == kept
    assert made.html.count('class="same">equal bytes') == 7
    assert made.html.count("<img") == 11
    assert "The files of 7 pictures below that could go have" in made.html
    assert "alone" not in made.html


def test_a_table_of_every_format_makes_the_same_page(copies, found) -> None:
    table = pq.read_table(found / "duplicates.parquet")
    (found / "duplicates.parquet").unlink()
    pages = []
    for form in FORMATS:
        path = found / table_name("duplicates", form)
        with open_table(str(path), SCHEMA, form) as file:
            file.write_table(table.cast(SCHEMA))
        made = duplicates_page(str(found), "page.html", None, 400)
        assert made
        pages.append(made.html.replace(path.name, "duplicates"))
        path.unlink()
    assert len(set(pages)) == 1


def test_groups_beyond_the_wanted_are_in_the_table_alone(found) -> None:
    made = duplicates_page(str(found), "page.html", None, 2)
    assert made
    assert made.html.count('<li class="row') == 2
    assert "2 more are only in the table" in made.html


def test_what_is_taken_down_is_not_shown(copies, found) -> None:
    note = json.loads((found / "threshold.json").read_text())
    shutil.copytree(copies.store, found / "store")
    note["job"]["store"] = str(found / "store")
    (found / "threshold.json").write_text(json.dumps(note))
    job = copies.folder / "job.yaml"
    assert run("exclude", "add", "1-b", "--config", job, "--set", f"store={found / 'store'}").code == 0
    made = duplicates_page(str(found), "page.html", None, 400)
    assert made
    assert made.html.count("<img") == 10
    assert "1-b: no picture, it is taken down" in made.html


def test_without_a_note_the_job_file_is_asked_for(copies, found) -> None:
    (found / "threshold.json").unlink()
    with pytest.raises(LookalikeError, match="-c with the job file"):
        duplicates_page(str(found), "page.html", None, 400)
    made = duplicates_page(str(found), "page.html", copies.loaded, 400)
    assert made
    assert made.html.count("<img") == 11
    (found / "threshold.json").write_text('{"job": {"store": 1}}')
    with pytest.raises(LookalikeError, match="Delete it"):
        duplicates_page(str(found), "page.html", None, 400)


@pytest.mark.parametrize(
    "told",
    [
        "[" * 100_000,
        '{"generation": 7}',
        '{"min_correlation": "x"}',
        '{"recall": {"cropped": "x"}}',
        '{"recall": [1]}',
        '{"against_job": 3}',
        "[]",
    ],
)
def test_a_note_that_was_changed_is_one_sentence(found, told) -> None:
    (found / "threshold.json").write_text(told)
    with pytest.raises(LookalikeError, match=r"threshold\.json what `lookalike duplicates` writes there"):
        duplicates_page(str(found), "page.html", None, 400)


def test_a_catalogue_without_copies_says_so(found) -> None:
    table = pq.read_table(found / "duplicates.parquet")
    pq.write_table(table.slice(0, 0), found / "duplicates.parquet")
    made = duplicates_page(str(found), "page.html", None, 400)
    assert made
    assert "Nothing in the catalogue is a copy" in made.html


def test_a_folder_without_duplicates_has_no_page(tmp_path) -> None:
    assert duplicates_page(str(tmp_path), "page.html", None, 400) is None


@pytest.mark.slow
def test_names_are_text_and_it_reads_without_script(copies, chromium) -> None:
    page = Path(report(str(copies.folder / "found"), None, None, AnswersOptions()).page)
    before = page.read_bytes()
    report(str(copies.folder / "found"), None, None, AnswersOptions())
    assert page.read_bytes() == before
    one = opened(chromium, page, viewport={"width": 320, "height": 800})
    assert TEXTS[0] in one.page.text_content("main")
    assert one.page.locator("img[onerror], iframe, svg[onload]").count() == 0
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 320
    one.page.get_by_label("Id or kind").fill("again.jpg")
    one.page.locator(".tools output").get_by_text("1 of 4 shown").wait_for()
    assert (one.said, one.asked_for) == ([], [])
    plain = opened(chromium, page, java_script_enabled=False).page
    assert (plain.locator(".row:visible").count(), plain.locator(".tools:visible").count()) == (4, 0)
