"""The report job: what a place holds decides which page is made."""

from __future__ import annotations

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.pages.answers import AnswersOptions
from lookalike.pages.job import report, report_text


def test_a_page_lies_beside_the_answers_or_where_it_is_wanted(copied, pictures, tmp_path) -> None:
    assert copied.query(copied.query_file({"q.jpg": pictures["p01.jpg"]}), "-k", 2).code == 0
    out = copied.folder / "out"
    made = report(str(out), None, None, AnswersOptions())
    assert made.page == str(out / "report.html")
    assert made.size == (out / "report.html").stat().st_size
    assert "1 answered, 0 failed; 1 of them are shown" in report_text(made)
    there = report(str(out), None, str(tmp_path / "a b" / "page.html"), AnswersOptions())
    assert 'href="./../out/results.parquet"' in (tmp_path / "a b" / "page.html").read_text("utf-8")
    assert there.page.endswith("page.html")


def test_a_place_that_holds_nothing_of_ours_is_refused(tmp_path) -> None:
    with pytest.raises(LookalikeError, match="Expected a folder that"):
        report(str(tmp_path), None, None, AnswersOptions())
    assert not list(tmp_path.iterdir())
