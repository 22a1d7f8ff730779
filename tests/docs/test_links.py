"""Links between the pages, and what the code says of them."""

import re

import pytest
import typer

from lookalike.cli.main import app
from tests.support.pages import PAGES, anchors, links, name
from tests.support.places import ROOT

NAMED = re.compile(r"\bdocs/[\w/-]+\.md|README\.md")
SOURCES = sorted(
    path
    for top in ("model", "pipelines", "benchmarks", "tests", "config")
    for path in (ROOT / top).rglob("*")
    if path.suffix in (".py", ".yaml")
)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_or_a_heading(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}"


@pytest.mark.parametrize("page", PAGES[1:], ids=name)
def test_no_page_of_the_site_leads_out_of_it(page):
    outside = [
        link for link in links(page) if not (page.parent / link).resolve().is_relative_to(ROOT / "docs")
    ]
    assert not outside


def test_every_page_that_the_code_names_is_there():
    named = {
        (page, str(path.relative_to(ROOT)))
        for path in SOURCES
        for page in NAMED.findall(path.read_text("utf-8"))
        if path.parent != ROOT / "tests" / "docs"
    }
    assert len(named) > 10
    assert [one for one in sorted(named) if not (ROOT / one[0]).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 110


def test_the_readme_has_every_command():
    page = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in typer.main.get_command(app).commands if not re.search(rf"`{name}\b", page)]
    assert missing == []
