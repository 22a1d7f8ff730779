"""Lines in a square."""

from __future__ import annotations

from lookalike.pages.line_charts import HEIGHT, WIDTH, line


def test_nought_is_at_the_left_and_below() -> None:
    assert (
        line("a", [(0, 0), (0.5, 1), (1, 0.25)]).points
        == f"0,{HEIGHT} {WIDTH // 2},0 {WIDTH},{HEIGHT * 3 // 4}"
    )
