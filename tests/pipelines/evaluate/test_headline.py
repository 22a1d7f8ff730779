"""The opening sentence of an evaluation."""

from __future__ import annotations

import pytest

from lookalike.evaluate.headline import headline


def figures(mean: float, low: float, high: float) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high}


METRICS = {
    "map": figures(0.5369, 0.5075, 0.5664),
    "hit_rate@1": figures(0.7947, 0.7507, 0.8358),
    "hit_rate@5": figures(0.9501, 0.9267, 0.9707),
    "hit_rate@10": figures(0.9853, 0.9707, 0.9971),
}


def test_it_tells_the_first_match_the_first_ten_and_the_order():
    assert headline(METRICS, (1, 5, 10)) == (
        "Of 100 queries 79 (75 to 84) find a right match at rank 1, 99 (97 to 100) find one among the first 10. With "
        "all right matches before all wrong ones the mAP would be 1: it is 0.54 (0.51 to 0.57). In brackets: 95 % "
        "intervals."
    )


@pytest.mark.parametrize("ks", [(1,), (5,), (5, 10)])
def test_it_keeps_to_the_cut_offs_there_are(ks):
    text = headline(METRICS, ks)
    assert text.count("find") == len(ks)
    assert ("at rank 1" in text) == (1 in ks)
