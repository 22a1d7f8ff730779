"""Drift: how much of the answers is as it was, told by hand for a handful of items."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lookalike.index import drift, opening
from lookalike.index.drift import Drift
from lookalike.model.errors import LookalikeError
from lookalike.store.generation import HiddenRows
from lookalike.store.hidden import written_rows
from tests.support.index_shards import stored_shard

ANGLES = np.deg2rad([0, 10, 30, 60, 100, 150])
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
IDS = list("abcdef")


@pytest.fixture(autouse=True)
def nearest_two(monkeypatch):
    monkeypatch.setattr(drift, "K", 2)


@pytest.fixture(params=[(), ("--runner=DirectRunner",)], ids=["here", "workers"])
def overlap(tmp_path, request):
    """Compares two generations of index shards, (ids, vectors) each: overlap(before, after)."""
    names = map(str, range(1000))

    def compare(before, after):
        refs = {id(one): stored_shard(tmp_path, next(names), *one) for one in [*before, *after]}
        old, new = [refs[id(one)] for one in before], [refs[id(one)] for one in after]
        found = Drift(str(tmp_path), old, new, str(tmp_path / next(names)), 1, request.param)
        return found.overlap() if found.ask_new(found.sample()) else None

    return compare


def test_the_same_items_have_the_same_answers_however_they_are_divided(overlap):
    whole = [(IDS, CIRCLE)]
    halves = [(IDS[::2], CIRCLE[::2]), (IDS[1::2], CIRCLE[1::2])]
    assert overlap(whole, whole) == overlap(whole, halves) == overlap(halves, whole) == 1


def test_an_item_that_comes_between_takes_a_place_in_the_answers_of_its_neighbours(overlap):
    # e and f had d, f and e, d; with g at 125 degrees they have g, d and g, e. Nothing changes for the others.
    after = np.vstack([CIRCLE, [np.cos(np.deg2rad(125)), np.sin(np.deg2rad(125))]])
    assert overlap([(IDS, CIRCLE)], [([*IDS, "g"], after)]) == pytest.approx((4 + 2 * 0.5) / 6)


def test_another_encoder_shows_though_ids_and_counts_are_the_same(overlap):
    # The places of b and e change hands: of a, c, d, f some answers stay.
    after = CIRCLE[[0, 4, 2, 3, 1, 5]]
    found = overlap([(IDS, CIRCLE)], [(IDS, after)])
    assert 0 < found < 1
    assert found == overlap([(IDS, after)], [(IDS, CIRCLE)])


def test_each_generation_is_asked_with_its_own_vectors(overlap):
    turned = np.column_stack([-CIRCLE[:, 1], CIRCLE[:, 0]])
    assert overlap([(IDS, CIRCLE)], [(IDS, turned)]) == 1


def test_only_items_that_are_in_both_are_asked(overlap):
    before, after = (IDS, CIRCLE), (["x", "y", "a"], CIRCLE[:3])
    # a had b, c and has y, x.
    assert overlap([before], [after]) == 0


def test_without_an_item_in_both_or_without_others_there_is_nothing_to_measure(overlap):
    assert overlap([(["a"], CIRCLE[:1])], [(["b"], CIRCLE[:1])]) is None
    assert overlap([(["a"], CIRCLE[:1])], [(["a"], CIRCLE[:1])]) is None


def test_an_answer_that_became_shorter_has_changed(overlap):
    # a and b had each other and c; now each has the other alone.
    assert overlap([(IDS, CIRCLE)], [(IDS[:2], CIRCLE[:2])]) == 0.5


def test_a_shard_that_is_in_both_is_opened_once_and_one_at_a_time(tmp_path, monkeypatch):
    both = stored_shard(tmp_path, "both", IDS[:3], CIRCLE[:3])
    old, new = (stored_shard(tmp_path, name, IDS[3:], CIRCLE[3:]) for name in ("old", "new"))
    opened = []
    usual = opening.open_index
    monkeypatch.setattr(opening, "open_index", lambda root, ref: opened.append(ref.path) or usual(root, ref))
    found = Drift(str(tmp_path), [both, old], [both, new], str(tmp_path / "run"), 1)
    assert found.ask_new(found.sample())
    assert found.overlap() == 1
    assert sorted(opened) == sorted({both.path, old.path, new.path})


def test_a_new_shard_that_is_damaged_is_found_though_there_is_nothing_to_compare(tmp_path):
    new = stored_shard(tmp_path, "new", IDS, CIRCLE)
    with open(tmp_path / new.path / "items.arrow", "ab") as file:
        file.write(b"?")
    found = Drift(str(tmp_path), [], [new], str(tmp_path / "run"))
    with pytest.raises(LookalikeError, match=r"items\.arrow"):
        found.ask_new(None)


def test_of_very_many_shards_some_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(drift, "SAMPLE", 3)
    refs = [stored_shard(tmp_path, name, [name, f"{name}2"], CIRCLE[:2]) for name in IDS]
    found = Drift(str(tmp_path), refs, refs, str(tmp_path / "run")).sample()
    assert found.ids == ["a", "c", "f"]


def test_of_the_smallest_index_shard_an_item_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(drift, "SAMPLE", 2)
    refs = [
        stored_shard(tmp_path, "a", IDS[:1], CIRCLE[:1]),
        stored_shard(tmp_path, "b", IDS[1:], CIRCLE[1:]),
    ]
    assert Drift(str(tmp_path), refs, refs, str(tmp_path / "run")).sample().ids == ["a", "b", "f"]


@pytest.mark.parametrize("flags", [(), ("--runner=DirectRunner",)], ids=["here", "workers"])
def test_an_index_shard_that_grew_is_compared_with_what_it_was(tmp_path, flags):
    rows = written_rows(np.array([5]))
    (tmp_path / "hidden.npy").write_bytes(rows)
    base = stored_shard(tmp_path, "base", IDS, CIRCLE)
    at_125 = np.deg2rad(125)
    added = stored_shard(tmp_path, "added", ["g"], [[np.cos(at_125), np.sin(at_125)]])
    hidden = HiddenRows("hidden.npy", hashlib.sha256(rows).hexdigest(), 1)
    after = [replace(base, count=5, hidden=hidden), replace(added, added_to=base.path)]
    # e had d, f and has g, d; d had c, e and has c, e. f is gone.
    found = Drift(str(tmp_path), [base], after, str(tmp_path / "run"), flags=flags)
    assert found.ask_new(found.sample())
    assert found.overlap() == pytest.approx((4 + 0.5) / 5)
    back = Drift(str(tmp_path), after, [base], str(tmp_path / "back"), flags=flags)
    assert sorted((sample := back.sample()).ids) == list("abcdeg")
    assert back.ask_new(sample)
    assert back.overlap() == pytest.approx((4 + 0.5) / 5)


@pytest.mark.parametrize("flags", [(), ("--runner=DirectRunner",)], ids=["here", "workers"])
def test_what_the_sample_finds_tells_of_the_health_also_of_a_first_generation(tmp_path, flags):
    refs = [
        stored_shard(tmp_path, "a", IDS[:3], CIRCLE[:3]),
        stored_shard(tmp_path, "b", IDS[3:], CIRCLE[3:]),
    ]
    first = Drift(str(tmp_path), refs, refs, str(tmp_path / "run"), flags=flags)
    assert first.ask_new(first.sample())
    health = first.health("cosine")
    assert (health.asked, health.k) == (6, 2)
    # f is 50 degrees from e; a and b are 10 from each other.
    assert (health.least_similar[0].item_id, health.least_similar[0].nearest) == ("f", "e")
    assert {one.item_id for one in health.most_similar[:2]} == {"a", "b"}
    assert health.most_similar[0].score == pytest.approx(np.cos(np.deg2rad(10)))


def test_hubs_are_told_by_the_size_of_the_catalogue_of_now(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(drift, "health_of", lambda *told: sizes.append(told[-1]))
    before = stored_shard(tmp_path, "before", IDS, CIRCLE)
    after = stored_shard(tmp_path, "after", IDS[:4], CIRCLE[:4])
    found = Drift(str(tmp_path), [before], [after], str(tmp_path / "run"))
    assert found.ask_new(found.sample())
    found.health("cosine")
    assert sizes == [4]
