"""Charts: what bars stand for, by hand."""

from __future__ import annotations

import numpy as np

from lookalike.pages.charts import HEIGHT, bars, histogram


def test_bars_are_as_high_as_their_counts_and_none_is_lost() -> None:
    drawn = bars([4, 0, 2, 0.001], ["a", "b", "c", "d"], ["first", "last"], "four")
    assert [bar.text for bar in drawn.bars] == ["a", "c", "d"]
    assert [bar.height for bar in drawn.bars] == [HEIGHT, HEIGHT / 2, 1.5]
    assert drawn.ticks == ("first", "last")
    assert all(bar.y + bar.height == HEIGHT for bar in drawn.bars)


def test_a_histogram_counts_every_value_once_and_says_it_in_words() -> None:
    drawn = histogram(np.array([0.0, 0.1, 0.1, 1.0, np.nan], np.float32), "queries", "best score", bins=10)
    assert drawn
    assert [bar.text for bar in drawn.bars] == [
        "0 to 0.1: 1 queries",
        "0.1 to 0.2: 2 queries",
        "0.9 to 1: 1 queries",
    ]
    assert drawn.text.startswith("Best score of 4 queries: from 0.000 to 1.000")


def test_equal_values_are_one_bar_and_none_is_no_chart() -> None:
    drawn = histogram(np.ones(3, np.float32), "queries", "score")
    assert drawn
    assert len(drawn.bars) == 1
    assert histogram(np.array([np.nan]), "queries", "score") is None
