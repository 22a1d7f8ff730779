"""What ids stand for: an item, or all pictures of a group, wherever they lie."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index import members
from lookalike.index.members import NO_ITEM, TAKEN_DOWN, members_of, settled
from tests.support.index_shards import shard_of

NONE = pa.array([], pa.string())


def shards() -> list:
    """Items a to f in two index shards; b and e are pictures of x, f of a group that is called as an item is."""
    eye = np.eye(6, dtype=np.float32)
    first = shard_of(["e", "a", "c"], eye[:3], product=["x", None, "y"])
    return [first, shard_of(["b", "d", "f"], eye[3:], product=["x", "", "a"])]


def names(ids: list[str | None], excluded: pa.Array = NONE, apart: bool = False) -> tuple[list, dict]:
    """The item of each vector that the ids stand for, with the place of its id, and the errors."""
    asked, opened = pa.array(ids, pa.string()), shards()
    parts = [[shard] for shard in opened] if apart else [opened]
    found = settled([members_of(part, asked, "product", excluded) for part in parts], asked, excluded)
    of_vector = ["eacbdf"[int(vector.argmax())] for vector in found.vectors]
    return list(zip(found.place.tolist(), of_vector, strict=True)), found.errors


@pytest.mark.parametrize("apart", [False, True])
def test_an_id_stands_for_its_item_and_else_for_all_pictures_of_its_group_by_their_ids(apart):
    found, errors = names(["x", "c", "a", "none", "", None, "x"], apart=apart)
    assert found == [(0, "b"), (0, "e"), (1, "c"), (2, "a"), (6, "b"), (6, "e")]
    assert errors == dict.fromkeys([3, 4, 5], NO_ITEM)


def test_nothing_is_asked_with_what_was_taken_down():
    found, errors = names(["x", "c", "b", "none", "y"], pa.array(["b", "c", "gone"]))
    assert found == [(0, "e")]
    assert errors == {1: TAKEN_DOWN, 2: TAKEN_DOWN, 3: NO_ITEM, 4: NO_ITEM}
    assert names(["gone"], pa.array(["gone"]))[1] == {0: TAKEN_DOWN}


@pytest.mark.parametrize("apart", [False, True])
def test_an_item_that_was_taken_down_does_not_become_the_group_of_its_name(apart):
    assert names(["a"], pa.array(["a"]), apart) == ([], {0: TAKEN_DOWN})


def test_only_items_are_named_where_there_are_no_groups():
    asked = pa.array(["x", "a"])
    found = settled([members_of(shards(), asked, None, NONE)], asked, NONE)
    assert (found.place.tolist(), found.errors) == ([1], {0: NO_ITEM})


def test_a_group_of_too_many_pictures_is_not_asked_with(monkeypatch):
    monkeypatch.setattr(members, "MOST_PICTURES", 1)
    found, errors = names(["x", "y"])
    assert found == [(1, "c")]
    assert errors == {0: "expected at most 1 pictures of one query. Received: a group of more pictures"}
    # Of two one is taken down.
    assert names(["x"], pa.array(["b"])) == ([(0, "e")], {})


def test_a_group_of_too_many_pictures_is_not_asked_with_where_one_index_shard_has_them_all(monkeypatch):
    monkeypatch.setattr(members, "MOST_PICTURES", 1)
    asked, shard = pa.array(["x"]), shard_of(["a", "b", "c"], np.eye(3), product=["x"] * 3)
    found = settled([members_of([shard], asked, "product", NONE)], asked, NONE)
    assert (found.place.tolist(), list(found.errors)) == ([], [0])
