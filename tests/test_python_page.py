"""Every block of code of docs/python.md runs, in order, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shutil

import pytest

from tests.support.places import ROOT
from tests.support.programs import make_world

PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", PAGE, flags=re.MULTILINE | re.DOTALL
)
MADE_AND_RUN = ("lookalike.build_encoder(", "beam.Pipeline(")
"""Take a second or two."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory, published, pictures):
    """The world of the page."""
    folder = tmp_path_factory.mktemp("page")
    make_world(folder, published, pictures)
    shutil.rmtree(folder / "photos")
    (folder / "photos").mkdir()
    for name, item in (("boots.jpg", "p00.jpg"), ("coat.jpg", "p01.jpg")):
        (folder / "photos" / name).write_bytes(pictures[item])
    (folder / "judged.txt").write_text("boots.jpg 0 p00.jpg 1\ncoat.jpg 0 p01.jpg 1\n")
    (folder / "tiny.keras").rename(folder / "network.keras")
    return folder


def check(blocks, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"__name__": "page"}
    for code, text in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), names)
        assert sorted(printed.getvalue().splitlines()) == sorted(text.splitlines()), code


def test_the_blocks_of_the_page_print_what_it_says(shown, monkeypatch):
    blocks = [block for block in BLOCKS if not any(word in block[0] for word in MADE_AND_RUN)]
    assert len(blocks) == 9
    check(blocks, shown, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("word", MADE_AND_RUN)
def test_the_blocks_that_take_longer_do_too(shown, monkeypatch, word):
    check([("import lookalike", ""), *(block for block in BLOCKS if word in block[0])], shown, monkeypatch)


def test_the_page_names_all_that_there_is():
    import lookalike
    import lookalike.beam

    for name in {*lookalike.__all__, "ReadImages", "Embed", "Search"} - {"Encoded", "__version__"}:
        assert f"`{name}" in PAGE or f"lookalike.{name}" in PAGE, name
