"""Ids of embedding files in parts, and what is found on the way."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.filesystem import files
from lookalike.index import ids as ids_module
from lookalike.index.ids import Found, ReadIds, StoredShard, found_in, part_of, parts_for
from lookalike.model.errors import LookalikeError
from lookalike.runner.parts import read_part
from tests.support.small_stores import SmallStore, flip


def read(
    store: SmallStore, shards: list[StoredShard], parts: int = 1, carried: tuple[str, ...] = ()
) -> Found:
    """What is found by a worker that is given all shards."""
    folder = str(store.root / "runs" / "ids")
    ReadIds(store.path, folder, parts, carried, str(store.root / "runs" / "progress"))(shards)
    return found_in(folder)


@pytest.fixture
def store(tmp_path) -> SmallStore:
    return SmallStore(tmp_path)


def stored(store: SmallStore, *shards: str, check: bool = True) -> list[StoredShard]:
    return [StoredShard.of(number, store.embed(shard), check) for number, shard in enumerate(shards)]


def test_files_that_are_not_what_their_digests_say_are_named_in_order_and_the_others_read(store):
    shards = stored(store, "a0", "b0", "c0")
    for path in (shards[2].path, shards[0].rejects_path):
        flip(store.root / path, 40)
    assert read(store, shards).damaged == (shards[0].rejects_path, shards[2].path)
    found = list(read_part(str(store.root / "runs" / "ids" / "0000000.arrow"), 0, 1))
    assert [item_id for batch in found for item_id in batch["item_id"].to_pylist()] == [
        "a0-0",
        "a0-1",
        "b0-0",
        "b0-1",
    ]


def test_a_file_whose_digest_is_not_asked_is_read_all_the_same(store):
    shards = stored(store, "a0", check=False)
    flip(store.root / shards[0].rejects_path, 40)
    assert read(store, shards) == Found((), frozenset())
    (store.root / shards[0].path).write_bytes(b"PAR1")
    with pytest.raises(LookalikeError, match=shards[0].path):
        read(store, shards)


@pytest.mark.parametrize("kind", ["path", "rejects_path"])
def test_a_file_that_is_gone_is_named(store, kind):
    shards = stored(store, "a0", "b0")
    path = getattr(shards[1], kind)
    (store.root / path).unlink()
    if kind == "path":
        with pytest.raises(LookalikeError, match=f"No such file or directory: .*{path}"):
            read(store, shards)
    else:
        assert read(store, shards).damaged == (path,)


def test_a_shard_survives_the_way_to_a_worker(store):
    for shard in (*stored(store, "a0"), *stored(store, "a0", check=False)):
        assert StoredShard.from_json(json.loads(json.dumps(shard.to_json()))) == shard


def test_an_id_has_one_part_everywhere_and_parts_are_about_as_large():
    held = pa.array([f"photographs/{number:09}.jpg" for number in range(20_000)])
    part = part_of(held, 7)
    assert set(np.bincount(part) // 100) <= set(range(27, 31))
    assert (part_of(held.take(pa.array([5, 1])), 7) == part[[5, 1]]).all()
    # Measured once: workers of one run may be of several versions.
    assert part_of(pa.array(["a", "b", "\U0001f41f", ""]), 5).tolist() == [2, 1, 0, 0]
    assert part_of(held, 1).tolist() == [0] * len(held)


def test_a_part_is_compared_at_once_so_there_are_more_of_them_in_a_large_corpus():
    assert [parts_for(ids) for ids in (0, 1, 4_000_000, 4_000_001, 10**9)] == [1, 1, 1, 2, 250]


def test_what_a_worker_holds_does_not_grow_with_its_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("lookalike.runner.parts._BYTES", 1 << 18)
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"item_id": [f"photographs/{number:09}.jpg" for number in range(2000)]}), path)
    sha256 = files.sha256(path)

    def peak(count: int) -> int:
        folder = str(tmp_path / f"run-{count}")
        work = ReadIds(str(tmp_path), folder, 3, (), folder)
        before = pa.default_memory_pool().bytes_allocated()
        most = 0
        add = ids_module.progress.WorkerNote.add

        def watched(self, **counts):
            nonlocal most
            most = max(most, pa.default_memory_pool().bytes_allocated() - before)
            add(self, **counts)

        with monkeypatch.context() as patched:
            patched.setattr(ids_module.progress.WorkerNote, "add", watched)
            tracemalloc.start()
            work(StoredShard(number, "a.parquet", "a.parquet", sha256, sha256) for number in range(count))
            held = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most + held

    peak(20)
    # Arrow's pool is shared with whatever else lives in this process; four times the files would be four times as much.
    assert peak(160) < 2.5 * peak(40)


@pytest.mark.parametrize("parts", [1, 3])
def test_pieces_may_be_read_by_several_workers(store, parts):
    shards = stored(store, "a0", "b0", "c0", check=False)
    for piece in ([shards[2]], shards[:2]):
        read(store, piece, parts)
    folder = Path(store.path, "runs", "ids")
    assert sorted(path.name for path in folder.glob("*.arrow")) == ["0000000.arrow", "0000002.arrow"]
    rows = [
        (batch["item_id"][n].as_py(), batch["shard"][n].as_py())
        for path in folder.glob("*.arrow")
        for part in range(parts)
        for batch in read_part(str(path), part, parts)
        for n in range(len(batch))
    ]
    assert sorted(rows) == [(f"{s}-{n}", i) for i, s in enumerate(("a0", "b0", "c0")) for n in range(2)]
