"""Which answers are shown where, on scores that a reader can sort in the head."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.pages.choosing import DOUBTFUL, FAR, MISTAKES, OTHERS, SUREST, choose
from lookalike.pages.overview import Overview

BEST = [0.9, 0.2, 0.5, 0.6, 0.8, 0.1, 0.7, 0.4]


def overview(best=BEST, second=None, probability=(), right=()) -> Overview:
    second = [score - 0.1 for score in best] if second is None else second
    numbers = (np.array(one, np.float32) for one in (best, second, probability))
    return Overview(*numbers, np.array(right, np.int8), 0, 0, (), 0, ())


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_are_surest_and_the_farthest_have_nothing_near(metric: str) -> None:
    best = BEST if metric == "cosine" else [1 - score for score in BEST]
    found = choose(overview(best), metric, rows=100, few=2).sections
    assert found[SUREST] == (0, 4)
    assert found[FAR] == (5, 1)
    assert set(found[OTHERS]) | set(found[DOUBTFUL]) == {2, 3, 6, 7}


def test_doubtful_is_where_the_second_match_is_as_near_among_the_farther_half() -> None:
    second = [0.9, 0.1, 0.3, 0.1, 0.8, 0.0, 0.7, 0.35]
    found = choose(overview(second=second), "cosine", rows=100, few=1).sections
    assert found[DOUBTFUL] == (7,)


def test_with_probabilities_doubtful_is_what_is_nearest_to_one_half() -> None:
    probability = [0.99, 0.1, 0.45, 0.7, 0.9, 0.05, 0.52, 0.3]
    found = choose(overview(probability=probability), "cosine", rows=100, few=2).sections
    assert found[DOUBTFUL] == (6, 2)


def test_nothing_is_near_only_beyond_what_tuning_queries_reached() -> None:
    assert choose(overview(), "cosine", rows=100, farthest=0.15, few=2).sections[FAR] == (5,)
    assert choose(overview(), "cosine", rows=100, farthest=0.05, few=2).sections[FAR] == ()
    assert choose(overview(), "cosine", rows=100, farthest=0.05, few=2).far == 0
    assert choose(overview(), "euclidean", rows=100, farthest=0.85, few=2).sections[FAR] == (0,)


def test_mistakes_come_first_where_relevance_is_known() -> None:
    right = [1, 0, 0, -1, 0, 1, 1, 1]
    found = choose(overview(right=right), "cosine", rows=100, few=2).sections
    assert found[MISTAKES] == (4, 2)
    assert choose(overview(), "cosine", rows=100, few=2).sections[MISTAKES] == ()


@pytest.mark.parametrize("rows", [1, 3, 5, 8, 100])
def test_no_query_is_shown_twice_and_what_is_left_out_is_counted(rows: int) -> None:
    chosen = choose(overview(), "cosine", rows=rows, few=2)
    shown = [number for numbers in chosen.sections.values() for number in numbers]
    assert len(shown) == len(set(shown)) == min(rows, 8)
    assert chosen.left_out == 8 - len(shown)


def test_the_others_are_in_the_order_of_the_queries() -> None:
    found = choose(overview(), "cosine", rows=100, few=1).sections
    assert found[OTHERS] == tuple(sorted(found[OTHERS]))


@pytest.mark.parametrize("best", [[], [0.5], [0.5, 0.5, 0.5]])
def test_few_queries_and_equal_ones_are_each_shown_once(best: list[float]) -> None:
    found = choose(overview(best, [np.nan] * len(best)), "cosine", rows=100).sections
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(len(best)))


def test_what_has_nothing_near_is_counted_though_there_is_no_room_for_it() -> None:
    chosen = choose(overview(right=[0] * 8), "cosine", rows=1, farthest=0.3)
    assert chosen.sections[FAR] == ()
    assert chosen.far == 2
