"""An index shard and its addition, against one that is built from what both hold."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index import growth as module
from lookalike.index.build import is_whole
from lookalike.index.growth import GrowthTask, grow
from lookalike.index.opening import open_index
from lookalike.index.refs import grown_refs
from lookalike.index.search import search, take_items, vectors_by_id
from lookalike.index.shard import IndexShard
from lookalike.index.tuning import BuildOptions
from lookalike.model.errors import LookalikeError
from tests.support.growing import CORPUS, DIM, VECTORS, GrowingStore, Row, row

QUERIES = np.concatenate([VECTORS[:3], np.random.default_rng(1).standard_normal((3, DIM)).astype(np.float32)])


@pytest.fixture
def store(tmp_path):
    return GrowingStore(tmp_path, DIM)


def grown_from(store: GrowingStore, corpus: dict[str, list[Row]], most: float = 1.0) -> GrowthTask:
    (before,) = store.tasks(CORPUS)
    store.built(before)
    (after,) = store.tasks(corpus)
    return store.growth(after, before, most)


def test_files_that_the_index_shard_has_are_not_opened(store):
    growing = grown_from(store, CORPUS | {"c": [row("c0", 5)]})
    for path in (store.root / "embeddings").glob("[ab]-*"):
        path.unlink()
    assert grow(growing) == 1
    base, addition = store.opened(growing)
    assert (base.hidden.tolist(), addition.item_ids.to_pylist()) == ([], ["c0"])


def test_of_last_nights_addition_only_the_files_that_are_new_since_are_opened(store):
    corpus = CORPUS | {"c": [row("c0", 5)]}
    first = grown_from(store, corpus)
    assert grow(first) == 1
    (base,), (last,) = store.tasks(CORPUS), store.tasks(corpus | {"a": CORPUS["a"][1:], "d": [row("d0", 6)]})
    growing = store.growth(last, base, after=first)
    for path in (store.root / "embeddings").glob("[bc]-*"):
        path.unlink()
    assert grow(growing) == 3
    grown, addition = store.opened(growing)
    assert grown.item_ids.take(pa.array(grown.hidden)).to_pylist() == ["a0"]
    assert addition.item_ids.to_pylist() == ["c0", "d0"]


@pytest.mark.parametrize("name", ["items.arrow", "origins.arrow", "origins-of-base.arrow"])
def test_where_last_nights_addition_is_damaged_the_index_shard_alone_tells_what_changed(store, name):
    corpus = CORPUS | {"c": [row("c0", 5)]}
    first = grown_from(store, corpus)
    grow(first)
    (base,), (last,) = store.tasks(CORPUS), store.tasks(corpus | {"d": [row("d0", 6)]})
    growing = store.growth(last, base, after=first)
    path = store.root / first.path / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert grow(growing) == 2


def test_a_damaged_new_file_is_an_error_and_no_addition(store):
    growing = grown_from(store, CORPUS | {"c": [row("c0", 5)]})
    (path,) = (store.root / "embeddings").glob("c-*")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LookalikeError, match="damaged"):
        grow(growing)
    assert not (store.root / growing.path).exists()


@pytest.mark.parametrize(("most", "grows"), [(2 / 6, True), (1.9 / 6, False)])
def test_as_many_may_be_new_or_gone_as_the_fraction_allows(store, most, grows):
    growing = grown_from(store, CORPUS | {"a": [row("a0", 5), *CORPUS["a"][1:]]}, most)
    assert grow(growing) == (2 if grows else None)
    assert is_whole(str(store.root), growing.path) == grows


def test_files_that_are_too_many_are_not_even_opened(store):
    growing = grown_from(store, CORPUS | {"c": [row(f"c{n}", 5) for n in range(7)]})
    for path in (store.root / "embeddings").iterdir():
        path.unlink()
    assert grow(growing) is None


@pytest.mark.parametrize("name", ["items.arrow", "dataset.npy", "origins.arrow", "manifest.json"])
def test_an_index_shard_that_is_damaged_does_not_grow(store, name):
    growing = grown_from(store, CORPUS | {"c": [row("c0", 5)]})
    path = store.root / growing.base.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert grow(growing) is None


def test_an_index_shard_that_does_not_know_where_its_items_come_from_does_not_grow(store, monkeypatch):
    growing = grown_from(store, CORPUS | {"c": [row("c0", 5)]})
    usual = open_index

    def of_before(*arguments: Any) -> IndexShard:
        shard = usual(*arguments)
        shard.origins = None
        return shard

    monkeypatch.setattr(module, "open_index", of_before)
    assert grow(growing) is None


@pytest.mark.parametrize(("recall", "grows"), [(0.99, True), (0.98, False)])
def test_what_misses_the_recall_target_together_is_built_anew(tmp_path, monkeypatch, recall, grows):
    store = GrowingStore(tmp_path, DIM, algorithm="ah")
    many = np.random.default_rng(0).standard_normal((400, DIM)).astype(np.float32)
    corpus = {"a": [(f"a{number:03}", vector, None) for number, vector in enumerate(many)]}
    (before,) = store.tasks(corpus)
    store.built(before)
    (after,) = store.tasks(corpus | {"b": [row("b0", 0)]})
    growing = store.growth(after, before)
    assert growing.base.recalls
    monkeypatch.setattr(module, "lowest_recalls", lambda *_: {"members": 1.0, "disturbed": recall})
    assert (grow(growing) is not None) == grows
    if grows:
        base, addition = grown_refs(str(tmp_path), growing.path)
        assert (base.recall, base.recalls["disturbed"], addition.added_to) == (recall, recall, base.path)


@pytest.mark.parametrize("corpus", [{"b": [row("b0", 0)]}, {}])
def test_the_users_queries_are_asked_again_also_where_items_only_went(tmp_path, monkeypatch, corpus):
    store = GrowingStore(tmp_path, DIM, algorithm="ah")
    many = np.random.default_rng(0).standard_normal((400, DIM)).astype(np.float32)
    rows = [(f"a{number:03}", vector, None) for number, vector in enumerate(many)]
    (before,) = store.tasks({"a": rows})
    store.built(before)
    (after,) = store.tasks({"a": rows[4:]} | corpus, tuned=True)
    after = dataclasses.replace(after, options=BuildOptions(threads=1))
    np.save(str(after.tuning), QUERIES)
    seen: list[Any] = []
    monkeypatch.setattr(module, "lowest_recalls", lambda *given: seen.append(given[-1]) or {"members": 1.0})
    assert grow(store.growth(after, before)) is not None
    np.testing.assert_array_equal(seen, [QUERIES])


def test_an_addition_that_was_not_finished_does_not_count(store, monkeypatch):
    growing = grown_from(store, CORPUS | {"c": [row("c0", 5)]})

    def dies(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dies)
        patched.setattr(os, "rename", dies)
        with pytest.raises(OSError, match="no space"):
            grow(growing)
    assert not is_whole(str(store.root), growing.path)
    assert grow(growing) == 1


def test_a_task_survives_json(store):
    growing = grown_from(store, CORPUS)
    assert GrowthTask.from_json(growing.to_json()) == growing


def test_an_addition_is_named_by_the_index_shard_and_by_what_both_hold(store):
    one = grown_from(store, CORPUS | {"c": [row("c0", 5)]})
    other = grown_from(store, CORPUS | {"c": [row("c0", 6)]})
    assert one.path.startswith("indexes/00000-of-00001-")
    assert len({one.path, other.path, one.whole.path, one.base.path}) == 4


def test_additions_to_two_index_shards_have_two_names(store):
    (one,), (other,), (after,) = (
        store.tasks(corpus) for corpus in (CORPUS, {"a": CORPUS["a"]}, CORPUS | {"c": [row("c0", 5)]})
    )
    for task in (one, other):
        store.built(task)
    assert store.growth(after, one).path != store.growth(after, other).path


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_vectors_in_fewer_bytes_are_rounded_once_however_many_nights_they_are_there(tmp_path, kind):
    corpora = [CORPUS, CORPUS | {"c": [row("c0", 5), row("c1", 6)]}]
    corpora.append(corpora[1] | {"d": [row("d0", 7)]})
    found = []
    for folder, nights in (("one", [2]), ("two", [1, 2])):
        store = GrowingStore(tmp_path / folder, DIM, bytes=kind)
        (base,) = store.tasks(CORPUS)
        store.built(base)
        last = None
        for night in nights:
            (task,) = store.tasks(corpora[night])
            last = store.growth(task, base, after=last)
            assert grow(last)
        assert last is not None
        found.append(store.opened(last)[1].searcher.vectors.codes)
    np.testing.assert_array_equal(*found)


def table_of(shards: list[IndexShard], k: int, gone: set[str], skip: list[str]) -> tuple[Any, ...]:
    """All that a result table tells."""
    matches = search(shards, QUERIES, k, exact=True, excluded=gone, skip=skip)
    items = take_items(shards, matches).combine_chunks()
    return matches.query.tobytes(), matches.rank.tobytes(), matches.score.tobytes(), repr(items.to_pydict())


ids = st.sampled_from([f"i{number}" for number in range(10)])
rows = st.lists(
    st.builds(row, ids, st.integers(0, 7), st.sampled_from([None, 0.0, -0.0, 1.0, float("nan")])),
    max_size=6,
    unique_by=lambda one: one[0],
)
corpora = st.dictionaries(st.sampled_from("abcd"), rows, min_size=1)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_a_grown_index_answers_as_one_that_is_built_from_all_that_is_there(kind, data):
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        store = GrowingStore(Path(folder), DIM, bytes=kind)
        corpus = data.draw(corpora)
        first = store.tasks(corpus, shards=2)
        for task in first:
            store.built(task)
        last: list[GrowthTask | None] = [None, None]
        for _ in range(data.draw(st.integers(1, 3))):
            corpus = {**corpus, **data.draw(corpora)}
            gone = data.draw(st.sets(ids, max_size=2))
            tasks = store.tasks(corpus, gone, shards=2)
            grown = []
            for n, (task, base) in enumerate(zip(tasks, first, strict=True)):
                growing = store.growth(task, base, 1e9, data.draw(st.sampled_from([None, last[n]])))
                if grow(growing) is None:  # nothing is no base to grow from
                    assert not len(store.built(base).items)
                    grown.append(store.built(task))
                else:
                    last[n] = growing
                    grown += store.opened(growing)
            whole = [store.built(task) for task in tasks]
            k, skip = data.draw(st.integers(1, 12)), data.draw(st.lists(ids, min_size=6, max_size=6))
            also = data.draw(st.sets(ids, max_size=2))
            assert table_of(grown, k, also, skip) == table_of(whole, k, also, skip)
            asked = pa.array([f"i{number}" for number in range(11)])
            np.testing.assert_array_equal(vectors_by_id(grown, asked), vectors_by_id(whole, asked))
