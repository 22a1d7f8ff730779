"""Index shards of a generation, opened with every digest checked."""

from __future__ import annotations

import json
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index import opening
from lookalike.index.opening import (
    kept_open,
    let_go,
    memory_of,
    open_index,
    open_vectors,
    open_vectors_of,
    opened_in_turn,
    that_fit,
)
from lookalike.index.search import search, vectors_by_id
from lookalike.index.shard import ShardContent, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.model.errors import LookalikeError
from lookalike.store import generations
from lookalike.store.index_manifest import MANIFEST
from tests.support.small_stores import Bucket, SmallStore


def test_a_damaged_file_of_vectors_is_named(copied):
    (path,) = copied.store.glob("indexes/*/dataset.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with (
        generations.reading(str(copied.store)) as generation,
        pytest.raises(LookalikeError, match=r"dataset\.npy is damaged"),
    ):
        open_vectors(str(copied.store), generation)


def test_the_vectors_and_items_are_those_of_the_whole_shard(published):
    with generations.reading(str(published.store)) as generation:
        (ref,) = generation.indexes
        whole = open_index(str(published.store), ref)
        (alone,) = open_vectors(str(published.store), generation)
    np.testing.assert_array_equal(alone.searcher.vectors, whole.searcher.vectors)
    assert alone.items.equals(whole.items)
    assert alone.manifest == whole.manifest


def test_offsets_that_the_manifest_does_not_name_are_not_looked_at(copied):
    """They would put ids behind vectors of others."""
    with generations.reading(str(copied.store)) as generation:
        (ref,) = generation.indexes
        (whole,) = open_vectors(str(copied.store), generation)
        np.save(copied.store / ref.path / "offsets.npy", np.arange(len(whole.items) + 1)[::-1])
        (alone,) = open_vectors(str(copied.store), generation)
    assert alone.offsets is None
    np.testing.assert_array_equal(alone.vectors_of(np.arange(3)), whole.vectors_of(np.arange(3)))


def test_a_shard_whose_manifest_is_another_is_refused(copied):
    with generations.reading(str(copied.store)) as generation:
        (ref,) = generation.indexes
    path = copied.store / ref.path / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"cosine", b"cosinE"))
    with pytest.raises(LookalikeError, match=r"manifest\.json"):
        open_index(str(copied.store), ref)


def test_a_copy_from_far_away_that_is_damaged_is_fetched_again(tmp_path, monkeypatch):
    store, bucket = SmallStore(tmp_path / "store"), Bucket(monkeypatch)
    (ref,) = store.publish(0, ["a0"]).indexes
    bucket.upload(tmp_path / "store", "mem://b/store")
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    expected = open_index("mem://b/store", ref).items
    (copy,) = (path for path in (tmp_path / "cache").rglob("items.arrow"))
    for damaged in (copy.read_bytes()[:-1], copy.read_bytes()[:-1] + b"x"):
        # As it was fetched, for all that the file system tells.
        times = copy.stat().st_atime_ns, copy.stat().st_mtime_ns
        copy.write_bytes(damaged)
        os.utime(copy, ns=times)
        assert open_index("mem://b/store", ref).items.equals(expected)


def test_a_copy_whose_manifest_names_other_files_is_fetched_again(tmp_path, monkeypatch):
    """What somebody put there fits together, and is not what the generation names."""
    store, bucket = SmallStore(tmp_path / "store"), Bucket(monkeypatch)
    (ref,) = store.publish(0, ["a0"]).indexes
    (other,) = store.publish(1, ["b0"]).indexes
    bucket.upload(tmp_path / "store", "mem://b/store")
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    expected = open_index("mem://b/store", ref).items.to_pylist()
    foreign = tmp_path / "store" / other.path
    (copy,) = (tmp_path / "cache").glob("*/copy")
    for path in foreign.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    state = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in copy.iterdir()]
    (copy.parent / "state.json").write_text(json.dumps(sorted(state)))
    assert open_index("mem://b/store", ref).items.to_pylist() == expected


def test_what_is_kept_open_is_checked_once_and_hides_what_each_generation_hides(tmp_path):
    store = SmallStore(tmp_path)
    root = str(tmp_path)
    ref = store.index("ab")
    hiding, _ = store.grown("ab", "ac")
    with kept_open():
        first = open_index(root, ref)
        (tmp_path / ref.path / "items.arrow").write_bytes(b"damaged")
        for opener in (open_index, open_vectors_of):
            again, other = opener(root, ref), opener(root, hiding)
            assert again.searcher is other.searcher is first.searcher
            assert first.shown.tolist() == again.shown.tolist() == [0, 1, 2, 3]
            assert other.shown.tolist() == [0, 2]
        let_go()
        with pytest.raises(LookalikeError, match=r"items\.arrow"):
            open_index(root, ref)
    with pytest.raises(LookalikeError, match=r"items\.arrow"):
        open_vectors_of(root, ref)


def test_what_one_thread_keeps_open_is_not_in_the_way_of_another(tmp_path):
    ref = SmallStore(tmp_path).index("ab")
    with kept_open():
        kept = open_index(str(tmp_path), ref).searcher

        def meanwhile():
            with kept_open():
                first, again = (open_index(str(tmp_path), ref).searcher for _ in range(2))
            return first is again is not kept

        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(meanwhile).result()
        assert open_index(str(tmp_path), ref).searcher is kept


def test_no_more_is_kept_open_than_may_be(tmp_path, monkeypatch):
    store = SmallStore(tmp_path)
    one, other = store.index("a"), store.index("bc")
    sizes = [memory_of(generations.read_index(str(tmp_path), ref)) for ref in (one, other)]
    monkeypatch.setattr(opening, "_MOST_KEPT", sum(sizes) - 1)
    with kept_open():
        first, second = (open_index(str(tmp_path), ref).searcher for ref in (one, other))
        assert open_index(str(tmp_path), one).searcher is first
        assert open_index(str(tmp_path), other).searcher is not second
    monkeypatch.setattr(opening, "memory", lambda: 8 * sizes[0] - 1)
    with kept_open():
        assert open_index(str(tmp_path), one).searcher is not open_index(str(tmp_path), one).searcher


def test_shards_are_opened_together_as_far_as_they_fit_and_in_their_order():
    refs = [SimpleNamespace(path=name) for name in "abcde"]
    groups = that_fit(refs, [4, 3, 9, 2, 2], 7)
    assert [[ref.path for ref in group] for group in groups] == [["a", "b"], ["c"], ["d", "e"]]
    assert that_fit([], [], 7) == []


def test_a_group_is_closed_before_the_next_is_opened():
    log = []

    class Shard:
        def __init__(self, name):
            self.name = name

    def opener(root, name):
        log.append(f"open {name}")
        shard = Shard(name)
        weakref.finalize(shard, log.append, f"close {name}")
        return shard

    for shards in opened_in_turn("store", ["ab", "c"], opener):
        log.append(f"use {''.join(shard.name for shard in shards)}")
    assert log == ["open a", "open b", "use ab", "close b", "close a", "open c", "use c", "close c"]


def test_brute_force_takes_its_vectors_twice_and_euclidean_thrice(published):
    with generations.reading(str(published.store)) as generation:
        manifest = generations.read_index(str(published.store), generation.indexes[0])
    vectors = manifest.files["dataset.npy"].size
    whole = sum(file.size for file in manifest.files.values())
    assert memory_of(manifest) == memory_of(manifest, exact=True) == whole + vectors
    assert memory_of(replace(manifest, metric="euclidean")) == whole + 2 * vectors


@pytest.mark.parametrize(("kind", "size"), [("bfloat16", 2), ("int8", 1)])
def test_of_fewer_bytes_only_exact_search_takes_a_copy_in_float32(kind, size, tmp_path):
    ids = pa.array([f"{n:03}" for n in range(500)])
    vectors = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    content = ShardContent(pa.table({"item_id": ids}), vectors, "cosine", "-")
    options = BuildOptions(0.5, algorithm="ah", bytes=kind)
    manifest = write_index_shard(str(tmp_path), content, options)
    whole = sum(file.size for file in manifest.files.values())
    held = manifest.files[f"{kind}_dataset.npy"].size
    assert held == pytest.approx(500 * 8 * size, abs=200)
    assert memory_of(manifest) == whole + held
    assert memory_of(manifest, exact=True) == whole + held + held * 4 // size


def test_what_is_hidden_is_found_in_no_way(tmp_path):
    small = SmallStore(tmp_path / "store")
    grown = small.publish(0, ["a0", "c0"], before=["a0", "b0"])
    asked = pa.array(["a0-0", "b0-0", "c0-0"])
    for shards in ([open_index(small.path, ref) for ref in grown.indexes], open_vectors(small.path, grown)):
        known = np.isfinite(vectors_by_id(shards, asked)).all(axis=1)
        assert known.tolist() == [True, False, True]
        assert shards[0].item_ids.take(pa.array(shards[0].shown)).to_pylist() == ["a0-0", "a0-1"]
    found = search([open_index(small.path, ref) for ref in grown.indexes], np.eye(1, 4, dtype=np.float32), 9)
    assert len(found.row) == 4
