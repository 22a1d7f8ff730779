"""Pages: everybody's text is text, whatever is in it, and no page can do without what it needs."""

from __future__ import annotations

import base64
import hashlib
import shutil
from fnmatch import fnmatch
from pathlib import Path

import jinja2
import pytest
import tomllib

from lookalike.model.errors import LookalikeError
from lookalike.pages import page
from lookalike.pages.page import render, write_page
from tests.support.places import ROOT

HOSTILE = "<script>alert(1)</script>\"'>\u202e\n<img src=x onerror=alert(2)>"


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Writes a template that extends `base.html`: template(content)."""

    def write(content: str) -> str:
        for name in ("base.html", "macros.html", "style.css", "page.js"):
            shutil.copy(f"{TEMPLATES}/{name}", tmp_path)
        text = '{% extends "base.html" %}{% block title %}A page{% endblock %}'
        (tmp_path / "one.html").write_text(f"{text}{{% block content %}}{content}{{% endblock %}}")
        monkeypatch.setattr(page, "TEMPLATES", str(tmp_path))
        page._environment.cache_clear()
        return "one.html"

    yield write
    page._environment.cache_clear()


TEMPLATES = page.TEMPLATES


def test_text_is_escaped_and_shows_what_acts(template) -> None:
    html = render(template("<p title='{{ name }}'>{{ name }}</p>"), name=HOSTILE)
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&gt;\\u202e\\n&lt;img") == 2


def test_what_a_template_asks_for_must_be_there(template) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(template("{{ missing }}"))


def test_none_is_nothing_and_numbers_are_grouped(template) -> None:
    html = render(template("<p>[{{ nothing }}] {{ 12345 | count }}</p>"), nothing=None)
    assert "<p>[] 12,345</p>" in html


def test_a_page_forbids_itself_all_but_its_own(template) -> None:
    html = render(template(""))
    policy = html.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert "default-src 'none'; img-src data:;" in policy
    assert "script-src 'sha256-" in policy
    assert html.count("<script") == 1


def test_the_script_that_a_page_allows_is_its_own(template) -> None:
    html = render(template(""))
    allowed = html.split("script-src 'sha256-")[1].split("'")[0]
    script = html.split("<script>")[1].split("</script>")[0]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()


def test_a_page_is_written_whole(tmp_path) -> None:
    write_page(str(tmp_path / "page.html"), "<p>ü</p>")
    assert (tmp_path / "page.html").read_bytes() == "<p>ü</p>".encode()


def test_a_page_takes_the_place_of_a_page_alone(tmp_path, template) -> None:
    path = tmp_path / "page.html"
    html = render(template(""))
    write_page(str(path), html)
    write_page(str(path), html)
    path.write_text("<!doctype html>mine")
    with pytest.raises(LookalikeError, match=r"or one that `lookalike report` made\. Received: .*page\.html"):
        write_page(str(path), html)
    assert path.read_text() == "<!doctype html>mine"


def test_all_that_a_page_is_made_of_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["lookalike.pages"]
    made_of = [path for path in Path(TEMPLATES).rglob("*") if path.is_file()]
    assert made_of
    for path in made_of:
        assert any(fnmatch(str(path.relative_to(Path(TEMPLATES).parent)), one) for one in patterns), path
