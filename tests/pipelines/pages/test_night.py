"""The page of a night: its counts add up, rejects are told by reason, and nothing in a name acts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike.pages.answers import AnswersOptions
from lookalike.pages.job import report
from lookalike.pages.night import night_page
from tests.conftest import Job, run
from tests.support.browser import browser, opened
from tests.support.hostile_names import NAMES, TEXTS


@pytest.fixture(scope="module")
def nights(tmp_path_factory, encoder, pictures) -> Job:
    """A night of pictures with hostile names, of which one is a page of HTML, and an earlier one that failed."""
    job = Job(tmp_path_factory.mktemp("nights"), encoder)
    images = dict(zip(NAMES, pictures.values(), strict=False))
    job.pack({**images, **pictures, NAMES[0]: b"<html>404", "z.jpg": next(iter(pictures.values()))[:200]})
    job.set(gates={"max_reject_fraction": 0.5})
    job.nightly()
    (path,) = (job.store / "reports").glob("2*.json")
    told = json.loads(path.read_text())
    told |= {"started": "2020-01-01T00:00:00+00:00", "outcome": "gate failed", "message": "<b>too few</b>"}
    (path.parent / "2020-01-01T000000Z.json").write_text(json.dumps(told))
    return job


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as one:
        yield one


def test_counts_add_up_and_rejects_have_their_reasons(nights) -> None:
    made = night_page(str(nights.store), nights.loaded)
    assert made
    assert "31 read = 29 embedded + 0 reused + 2 rejected + 0 duplicates." in made.html
    assert "29 served = 31 read − 2 rejected − 0 duplicates − 0 taken down." in made.html
    assert re.findall(r"<dd>(\d+)</dd>", made.html)[:4] == ["31", "29", "2", "29"]
    assert "9 bytes: &lt;html&gt;404" in made.html
    assert "200 bytes: ff d8 ff" in made.html
    assert "an HTML page instead of an image" in made.html
    assert '<tr><th scope="row"><bdi>2020-01-01 00:00</bdi></th><td><bdi>gate failed</bdi></td>' in made.html
    assert "Images embedded in 2 nights: from 29 to 29, last 29." in made.html


def test_a_night_that_failed_says_why_and_is_shown_with_what_is_served(nights, tmp_path) -> None:
    shutil.copytree(nights.store, tmp_path / "store")
    (tmp_path / "store" / "reports" / "2020-01-01T000000Z.json").rename(
        tmp_path / "store" / "reports" / "2099-01-01T000000Z.json"
    )
    made = night_page(str(tmp_path / "store"), None)
    assert made
    assert 'class="not-ok">Gate failed</b>' in made.html
    assert "&lt;b&gt;too few&lt;/b&gt;" in made.html
    assert "-c was not given" in made.html
    assert "<img" not in made.html


def test_what_is_taken_down_is_listed_and_not_shown(nights, tmp_path) -> None:
    shutil.copytree(nights.store, tmp_path / "store")
    before = night_page(str(tmp_path / "store"), nights.loaded)
    assert before
    shown = re.search(r'<img class="picture" alt="(p\d\d\.\w+)"', before.html)
    assert shown
    job = ("--config", nights.config, "--set", f"store={tmp_path / 'store'}")
    assert run("exclude", "add", shown[1], "--reason", "<i>mine</i>", *job).code == 0
    config = nights.loaded.model_copy(update={"store": str(tmp_path / "store")})
    made = night_page(str(tmp_path / "store"), config)
    assert made
    assert f'<img class="picture" alt="{shown[1]}"' not in made.html
    assert f"{shown[1]}: no picture, it is taken down" in made.html
    assert "&lt;i&gt;mine&lt;/i&gt;" in made.html


def test_items_that_many_find_have_their_pictures(nights, tmp_path) -> None:
    shutil.copytree(nights.store, tmp_path / "store")
    *_, path = (tmp_path / "store" / "reports").glob("2*.json")
    told = json.loads(path.read_text())
    told |= {"started": "2099-01-01T00:00:00+00:00"}
    told["health"] |= {
        "least_similar": [],
        "most_similar": [],
        "hubs": [{"item_id": "p01.jpg", "answers": 9}],
    }
    (path.parent / "2099-01-01T000000Z.json").write_text(json.dumps(told))
    made = night_page(str(tmp_path / "store"), nights.loaded)
    assert made
    assert '<img class="picture" alt="p01.jpg"' in made.html


def test_a_store_whose_shards_and_generation_are_gone_has_a_page_all_the_same(nights, tmp_path) -> None:
    (tmp_path / "store").mkdir()
    shutil.copytree(nights.store / "reports", tmp_path / "store" / "reports")
    made = night_page(str(tmp_path / "store"), nights.loaded)
    assert made
    assert "31 read" in made.html
    gone = nights.loaded.model_copy(deep=True)
    gone.corpus.__dict__["shards"] = str(tmp_path / "none")
    there = night_page(str(nights.store), gone)
    assert there
    assert "<img" not in there.html


def test_a_place_without_a_night_has_no_page(tmp_path) -> None:
    assert night_page(str(tmp_path), None) is None


@pytest.mark.slow
def test_names_are_text_and_the_page_is_the_same_bytes(nights, chromium) -> None:
    page = Path(report(str(nights.store), nights.loaded, None, AnswersOptions()).page)
    assert page == nights.store / "reports" / "report.html"
    before = page.read_bytes()
    report(str(nights.store), nights.loaded, None, AnswersOptions())
    assert page.read_bytes() == before
    for width, script in ((320, True), (1280, False)):
        one = opened(chromium, page, viewport={"width": width, "height": 800}, java_script_enabled=script)
        assert TEXTS[0] in one.page.text_content("main")
        assert (
            one.page.locator(
                "img[onerror], iframe, svg[onload], main script, main b:has-text('too few')"
            ).count()
            == 0
        )
        assert one.page.locator("img:not([alt]), [role=img]:not([aria-label])").count() == 0
        if script:
            assert one.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (one.said, one.asked_for) == ([], [])
