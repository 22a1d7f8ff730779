"""Drift: how much of the answers is as it was, told by hand for a handful of items."""

import numpy as np
import pytest

from lookalike.index import drift
from lookalike.index.drift import overlap
from tests.support.index_shards import shard_of

ANGLES = np.deg2rad([0, 10, 30, 60, 100, 150])
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
IDS = list("abcdef")


@pytest.fixture(autouse=True)
def nearest_two(monkeypatch):
    monkeypatch.setattr(drift, "K", 2)


def test_the_same_items_have_the_same_answers_however_they_are_divided():
    whole = [shard_of(IDS, CIRCLE)]
    halves = [shard_of(IDS[::2], CIRCLE[::2]), shard_of(IDS[1::2], CIRCLE[1::2])]
    assert overlap(whole, whole) == overlap(whole, halves) == overlap(halves, whole) == 1


def test_an_item_that_comes_between_takes_a_place_in_the_answers_of_its_neighbours():
    # e and f had d, f and e, d; with g at 125 degrees they have g, d and g, e. Nothing changes for the others.
    after = np.vstack([CIRCLE, [np.cos(np.deg2rad(125)), np.sin(np.deg2rad(125))]])
    assert overlap([shard_of(IDS, CIRCLE)], [shard_of([*IDS, "g"], after)]) == pytest.approx(
        (4 + 2 * 0.5) / 6
    )


def test_another_encoder_shows_though_ids_and_counts_are_the_same():
    # The places of b and e change hands: of a, c, d, f some answers stay.
    after = CIRCLE[[0, 4, 2, 3, 1, 5]]
    found = overlap([shard_of(IDS, CIRCLE)], [shard_of(IDS, after)])
    assert 0 < found < 1
    assert found == overlap([shard_of(IDS, after)], [shard_of(IDS, CIRCLE)])


def test_only_items_that_are_in_both_are_asked():
    before, after = shard_of(IDS, CIRCLE), shard_of(["x", "y", "a"], CIRCLE[:3])
    # a had b, c and has y, x.
    assert overlap([before], [after]) == 0


def test_without_an_item_in_both_or_without_others_there_is_nothing_to_measure():
    assert overlap([shard_of(["a"], CIRCLE[:1])], [shard_of(["b"], CIRCLE[:1])]) is None
    assert overlap([shard_of(["a"], CIRCLE[:1])], [shard_of(["a"], CIRCLE[:1])]) is None


def test_an_answer_that_became_shorter_has_changed():
    # a and b had each other and c; now each has the other alone.
    assert overlap([shard_of(IDS, CIRCLE)], [shard_of(IDS[:2], CIRCLE[:2])]) == 0.5
