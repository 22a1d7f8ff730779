"""The page of answers: its numbers add up, whatever is in ids is text, and it needs neither network nor script."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.pages import answers
from lookalike.pages.answers import AnswersOptions, answers_page
from lookalike.pages.job import report
from lookalike.query.tables import FORMATS
from tests.conftest import Job
from tests.support.browser import browser, opened

HOSTILE = (
    "<script>alert('id')</script>",
    '"><img src=x onerror=alert(1)>.jpg',
    "javascript:alert(2)",
    "\u202egpj.live\nnext line",
    "{{ 7 * 7 }}{% raw %}&amp;",
    "</style></svg></ul>'`",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, encoder, pictures) -> Job:
    """Answers with ids and metadata that would like to be more than text."""
    job = Job(tmp_path_factory.mktemp("hostile"), encoder)
    names = sorted(pictures)[: 2 * len(HOSTILE)]
    job.pack({name: pictures[name] for name in names})
    job.nightly()
    rows = ["query_id,path,why\n"]
    for number, text in enumerate(HOSTILE):
        name = f"{number}.jpg"
        (job.folder / name).write_bytes(pictures[names[number]])
        quoted = text.replace('"', '""')
        rows.append(f'"{quoted}",{name},"{quoted}"\n')
    (job.folder / "queries.csv").write_text("".join([*rows, '"<b>gone</b>",gone.jpg,\n']))
    assert job.query(job.folder / "queries.csv", "-k", 3).code == 0
    return job


@pytest.fixture(scope="module")
def page(hostile) -> Path:
    made = report(str(hostile.folder / "out"), None, None, AnswersOptions())
    return Path(made.page)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


def test_counts_add_up_and_lead_to_the_tables(page) -> None:
    html = page.read_text("utf-8")
    counts = re.findall(r"<dt>(?:<a href=\"([^\"]*)\">)?(.*?)(?:</a>)?</dt><dd>(\d+)</dd>", html)
    assert counts == [
        ("", "queries read", "7"),
        ("./results.parquet", "answered", "6"),
        ("./failures.parquet", "failed", "1"),
    ]
    assert len(re.findall('<li class="row"', html)) == 6


@pytest.mark.slow
def test_what_is_in_an_id_is_text_and_nothing_is_asked_for(page, chromium) -> None:
    found = opened(chromium, page)
    text = found.page.text_content("main")
    for one in (
        "<script>alert('id')</script>",
        "\\u202egpj.live\\nnext line",
        "{{ 7 * 7 }}{% raw %}&amp;",
        "<b>gone</b>",
    ):
        assert one in text
    assert found.page.evaluate("document.scripts.length") == 1
    assert found.page.locator("img[onerror], iframe, object, embed, a[href^=javascript]").count() == 0
    found.page.wait_for_timeout(100)
    assert (found.said, found.asked_for) == ([], [])


@pytest.mark.slow
def test_a_picture_is_seen_where_a_match_is_and_has_words(page, chromium) -> None:
    one = opened(chromium, page).page
    shown = one.locator(".row .picture").first
    box = shown.bounding_box()
    assert box
    assert box["width"] > 20
    assert one.locator(".row img.picture").count() == 6 + 6 * 3
    assert one.evaluate("document.querySelector('.row img').naturalWidth") > 20
    assert one.locator("img:not([alt]), [role=img]:not([aria-label])").count() == 0


@pytest.mark.slow
def test_filters_show_what_fits_and_say_how_many(page, chromium) -> None:
    one = opened(chromium, page).page
    rows, told = one.locator(".row:visible"), one.locator(".tools output")
    assert rows.count() == 6
    words, least = one.get_by_label("Id or metadata"), one.get_by_label("Best score at least")
    words.fill("JAVASCRIPT")
    told.get_by_text("1 of 6 shown").wait_for()
    assert rows.count() == 1
    words.fill("")
    least.fill("2")
    told.get_by_text("0 of 6 shown").wait_for()
    assert one.locator("[data-section]:visible").count() == 0
    least.fill("")
    rows.first.wait_for()
    assert (rows.count(), told.inner_text()) == (6, "")


@pytest.mark.slow
def test_it_is_read_without_script_and_its_tools_are_hidden_then(page, chromium) -> None:
    one = opened(chromium, page, java_script_enabled=False).page
    assert one.locator(".row:visible").count() == 6
    assert one.locator(".tools:visible").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_width_needs_to_be_scrolled_sideways(page, chromium, width: int) -> None:
    one = opened(chromium, page, viewport={"width": width, "height": 800}).page
    assert one.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_is_the_same_bytes_each_time(hostile, page) -> None:
    before = page.read_bytes()
    report(str(hostile.folder / "out"), None, None, AnswersOptions())
    assert page.read_bytes() == before


def test_relevance_marks_matches_and_mistakes_come_first(zoo, tmp_path) -> None:
    ids = zoo.embeddings["item_id"].to_pylist()
    (tmp_path / "ids.txt").write_text("".join(f"{one}\n" for one in ids))
    assert zoo.run("query", tmp_path / "ids.txt", "-o", tmp_path / "out", "--exclude-self").code == 0
    made = answers_page(str(tmp_path / "out"), "page.html", None, AnswersOptions(relevance="directory"))
    assert made
    first = [
        row for row in pq.read_table(tmp_path / "out" / "results.parquet").to_pylist() if row["rank"] == 1
    ]
    right = sum(row["query_id"].split("/")[0] == row["item_id"].split("/")[0] for row in first)
    assert f"{right} of 21 best matches are relevant by <bdi>directory</bdi>" in made.html
    assert made.html.count('" data-only>') == 21 - right
    assert ("Surest mistakes" in made.html) == (right < 21)


def test_rows_beyond_the_wanted_are_in_the_table_alone(hostile) -> None:
    made = answers_page(str(hostile.folder / "out"), "page.html", None, AnswersOptions(rows=4))
    assert made
    assert made.html.count('<li class="row"') == 4
    assert "2 more are only in the table" in made.html


def test_items_that_many_find_have_their_pictures_whatever_rows_are_shown(hostile) -> None:
    made = answers_page(str(hostile.folder / "out"), "page.html", None, AnswersOptions(rows=1))
    assert made
    _, hubs = made.html.split('<section id="hubs"')
    assert hubs.partition("</section>")[0].count("<img") > 4
    assert 'class="picture none"' not in hubs.partition("</section>")[0]


def test_what_is_gone_is_told_and_the_page_is_made_all_the_same(copied, pictures) -> None:
    queries = copied.query_file({"q.jpg": pictures["p01.jpg"]})
    assert copied.query(queries, "-k", 2).code == 0
    shutil.rmtree(queries)
    made = answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
    assert made
    assert made.html.count('class="picture none"') == 1
    assert "query q.jpg: no picture" in made.html


def test_without_a_note_the_job_file_is_asked_for(copied, pictures) -> None:
    assert copied.query(copied.query_file({"q.jpg": pictures["p01.jpg"]}), "-k", 2).code == 0
    (copied.folder / "out" / "query.json").unlink()
    with pytest.raises(LookalikeError, match="-c with the job file"):
        answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
    made = answers_page(str(copied.folder / "out"), "page.html", copied.loaded, AnswersOptions())
    assert made
    assert "--queries was not given" in made.html


def test_answers_of_a_generation_that_is_gone_say_so(copied, pictures) -> None:
    assert copied.query(copied.query_file({"q.jpg": pictures["p01.jpg"]}), "-k", 2).code == 0
    note = copied.folder / "out" / "query.json"
    note.write_text(note.read_text().replace(copied.generation["name"], "20000101T000000Z-00000000"))
    made = answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
    assert made
    assert "the one that answered is gone" in made.html


def test_a_folder_without_answers_has_no_page(tmp_path) -> None:
    assert answers_page(str(tmp_path), "page.html", None, AnswersOptions()) is None


def test_tables_of_every_format_make_the_same_page(copied, pictures) -> None:
    queries = copied.query_file({"q.jpg": pictures["p01.jpg"], "r.png": pictures["p03.png"], "bad.jpg": b"?"})
    pages = []
    for form in FORMATS:
        shutil.rmtree(copied.folder / "out", ignore_errors=True)
        assert copied.query(queries, "-k", 3, form=form).code == 0
        made = answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
        assert made
        pages.append(made.html.replace(f".{form}", ".form"))
    assert pages[0] == pages[1] == pages[2]


def test_where_nothing_was_answered_there_is_a_page_of_what_failed(copied) -> None:
    assert copied.query(copied.query_file({"bad.jpg": b"?", "worse.jpg": b""})).code == 3
    made = answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
    assert made
    assert "2 queries were not answered" in made.html
    assert "bad.jpg" in made.html
    assert '<li class="row"' not in made.html


@pytest.mark.slow
def test_distances_are_told_as_such(copied, pictures) -> None:
    copied.set(metric="euclidean", store=str(copied.folder / "other"))
    copied.nightly()
    assert copied.query(copied.query_file({"q.jpg": pictures["p01.jpg"]}), "-k", 3).code == 0
    made = answers_page(str(copied.folder / "out"), "page.html", None, AnswersOptions())
    assert made
    assert "Least distance at most" in made.html
    assert 'data-sign="-1"' in made.html
    assert made.html.count("same picture") == 1  # by its file, not by its distance of 0


@pytest.mark.parametrize(
    ("farthest", "told"), [(-1.0, "no query has nothing near"), (1.1, "farther than 1.100")]
)
def test_what_the_index_was_tuned_with_tells_what_is_near(
    hostile, monkeypatch, farthest: float, told: str
) -> None:
    monkeypatch.setattr("lookalike.pages.answers._farthest", lambda *_: farthest)
    made = answers_page(str(hostile.folder / "out"), "page.html", None, AnswersOptions())
    assert made
    assert told in made.html
    assert ('id="far"' in made.html) == (farthest > 0)


@pytest.mark.parametrize(
    ("metric", "tuned", "farthest"),
    [("cosine", [0.5, None, 0.2], 0.2), ("euclidean", [3.0, None, 9.0], 9.0), ("cosine", [None], None)],
)
def test_nothing_is_near_what_is_farther_than_for_every_index_shard(
    monkeypatch, metric, tuned, farthest
) -> None:
    generation: Any = SimpleNamespace(metric=metric, indexes=tuned)
    monkeypatch.setattr(answers.generations, "read_index", lambda _, one: SimpleNamespace(farthest=one))
    assert answers._farthest("store", generation) == farthest
