"""The pages as a site."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import PAGES
from tests.support.places import DOCS, ROOT

pytestmark = pytest.mark.slow
CHROMIUM = Path("/usr/bin/chromium")
ALONE = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-quic"),
]
FROM_ELSEWHERE = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(?:https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr
    return folder


def test_every_page_is_built_without_a_warning(site):
    for page in PAGES[1:]:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists()


def test_nothing_comes_from_a_network(site):
    for page in site.rglob("*.html"):
        found = [
            tag for tag in FROM_ELSEWHERE.findall(page.read_text("utf-8")) if 'rel="canonical"' not in tag
        ]
        assert not found, f"{page}: {found}"


def test_the_site_opened_from_a_disk_searches_and_fits_a_telephone(site):
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=str(CHROMIUM), args=ALONE)
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda asked: None if asked.url.startswith("file:") else problems.append(asked.url)
        )
        page.goto((site / "index.html").as_uri())
        page.click("input[name=query]")
        page.keyboard.type("takedown")
        page.wait_for_selector(".md-search-result__item", timeout=10_000)
        found = page.eval_on_selector_all(".md-search-result__link", "links => links.map(link => link.href)")
        page.set_viewport_size({"width": 390, "height": 800})
        too_wide = []
        for name in ("index", "benchmarks", "recipes/query-tables", "reference/job-file"):
            page.goto((site / f"{name}.html").as_uri())
            if page.evaluate("document.documentElement.scrollWidth") > 390:
                too_wide.append(name)
        browser.close()
    assert problems == []
    assert any(re.search(r"/operations\.html.*#takedown$", link) for link in found)
    assert too_wide == []
