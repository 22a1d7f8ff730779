"""What came and went since an index shard was built, told by hand and for any sequence of nights."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index import changes
from lookalike.index.changes import changed
from lookalike.index.growth import grow
from lookalike.index.opening import open_vectors_of
from lookalike.store.index_manifest import read_manifest
from tests.support.growing import CORPUS, DIM, GrowingStore, Row, row


@pytest.fixture
def store(tmp_path):
    return GrowingStore(tmp_path, DIM)


def change_of(
    store: GrowingStore, corpus: dict[str, list[Row]], **options: Any
) -> tuple[list[str], list[str]]:
    """Ids that are added, and ids that are hidden."""
    (before,) = store.tasks(CORPUS)
    store.built(before)
    (after,) = store.tasks(corpus, **options)
    base = open_vectors_of(str(store.root), store.growth(after, before).base)
    found = changed(base, base.origins, None, after)
    assert found.count == len(found.items) + len(found.hidden) == len(found.vectors) + len(found.hidden)
    return found.items["item_id"].to_pylist(), base.items["item_id"].take(pa.array(found.hidden)).to_pylist()


CHANGES = {
    "nothing": ({}, [], []),
    "another order": ({"a": CORPUS["a"][::-1]}, [], []),
    "a new picture": ({"a": [row("a0", 5), *CORPUS["a"][1:]]}, ["a0"], ["a0"]),
    "new metadata": ({"a": [row("a0", 0, 2.0), *CORPUS["a"][1:]]}, ["a0"], ["a0"]),
    "metadata of another sign": ({"b": [CORPUS["b"][0], row("b1", 3, -0.0), CORPUS["b"][2]]}, ["b1"], ["b1"]),
    "metadata that went": ({"a": [row("a0", 0, None), *CORPUS["a"][1:]]}, ["a0"], ["a0"]),
    "an item more": ({"a": [*CORPUS["a"], row("a3", 5)]}, ["a3"], []),
    "an item less": ({"a": CORPUS["a"][1:]}, [], ["a0"]),
    "a shard more": ({"c": [row("c0", 0)]}, ["c0"], []),
    "another id": ({"b": [row("b9", 3), *CORPUS["b"][1:]]}, ["b9"], ["b0"]),
    "a copy in an earlier shard": ({"a": [*CORPUS["a"], row("b0", 5)]}, ["b0"], ["b0"]),
    "a like copy in an earlier shard": ({"a": [*CORPUS["a"], row("b0", 3)]}, [], []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_added_and_hidden_is_what_changed(store, name):
    change, added, hidden = CHANGES[name]
    assert change_of(store, CORPUS | change) == (added, hidden)


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["another order", "a new picture", "an item less", "a shard more"])
def test_vectors_that_were_rounded_are_known_again(name, kind, tmp_path):
    change, added, hidden = CHANGES[name]
    assert change_of(GrowingStore(tmp_path, DIM, bytes=kind), CORPUS | change) == (added, hidden)


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "equal"),
    [
        (pa.string(), ["a", "a", None, None], ["a", "b", "a", None], [True, False, False, True]),
        (pa.int64(), [0, None, 7], [None, None, 7], [False, True, True]),
        (pa.float64(), [0.0, float("nan"), None], [-0.0, float("nan"), 0.0], [False, True, False]),
        (pa.list_(pa.string()), [["a"], [], None], [["a"], None, None], [True, False, True]),
    ],
)
def test_values_are_the_same_if_nothing_of_them_differs(kind, ours, theirs, equal):
    columns = (pa.chunked_array([pa.array(values, kind)]) for values in (ours, theirs))
    assert changes._equal(*columns).tolist() == equal


def test_what_is_taken_down_is_hidden(store):
    assert change_of(store, CORPUS, taken_down=["a1"]) == ([], ["a1"])


ids = st.sampled_from([f"i{number}" for number in range(8)])
rows = st.lists(st.builds(row, ids, st.integers(0, 3)), max_size=5, unique_by=lambda one: one[0])
corpora = st.dictionaries(st.sampled_from("abc"), rows, min_size=1)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@settings(deadline=None, max_examples=8)
@given(first=corpora, nights=st.lists(st.tuples(corpora, st.sets(ids, max_size=2)), min_size=2, max_size=4))
def test_with_last_nights_addition_and_without_it_the_same_is_found(kind, first, nights):
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        store = GrowingStore(Path(folder), DIM, bytes=kind)
        corpus = first | {"d": [row("always", 0)]}
        (built,) = store.tasks(corpus)
        store.built(built)
        last = None
        for number, (change, gone) in enumerate(nights):
            corpus = corpus | change | {"e": [row(f"only tonight {number}", 0)]}
            (task,) = store.tasks(corpus, gone)
            found = []
            for after in (None, last):
                growing = store.growth(task, built, 1e9, after)
                assert grow(growing) is not None
                found.append(read_manifest(os.path.join(folder, growing.path)).files)
                if after is None and last is not None:
                    shutil.rmtree(os.path.join(folder, growing.path))
            assert found[0] == found[1]
            last = growing
