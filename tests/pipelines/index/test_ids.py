"""Ids of embedding files in parts, and what is found on the way."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lookalike.filesystem import files
from lookalike.index import ids as ids_module
from lookalike.index.ids import Found, ReadIds, StoredShard, found_in, read_rows
from lookalike.model.errors import LookalikeError
from lookalike.store.splits import IDS, KEYS
from tests.support.small_stores import SmallStore, flip, write_ids


def read(store: SmallStore, shards: list[StoredShard], parts: int = 1) -> Found:
    """What is found by a worker that is given all shards."""
    folder = str(store.root / "runs" / "read")
    ReadIds(store.path, folder, parts, str(store.root / "runs" / "progress"))(shards)
    return found_in(folder)


@pytest.fixture
def store(tmp_path) -> SmallStore:
    return SmallStore(tmp_path)


def stored(store: SmallStore, *shards: str) -> list[StoredShard]:
    return [StoredShard.of(number, store.embed(shard)) for number, shard in enumerate(shards)]


def test_files_that_are_not_what_their_digests_say_are_named_in_order_and_the_others_read(store):
    shards = stored(store, "a0", "b0", "c0")
    for path in (shards[2].path, shards[0].rejects_path):
        flip(store.root / path, 40)
    assert read(store, shards).damaged == (shards[0].rejects_path, shards[2].path)
    found = list(read_rows(str(store.root / "runs" / "read"), IDS, 0, 1))
    assert [item_id for batch in found for item_id in batch["item_id"].to_pylist()] == [
        "a0-0",
        "a0-1",
        "b0-0",
        "b0-1",
    ]


def test_of_each_file_it_is_found_which_fields_have_values(store):
    shards = stored(store, "a0", "b0", "c0")
    flip(store.root / shards[1].rejects_path, 40)
    [(fields, numbers)] = read(store, shards).fields.items()
    assert set(fields) == {"item_id", "embedding", "content_hash", "width", "height"}
    assert numbers.tolist() == [0, 2]


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
    (shard,) = stored(store, "a0")
    assert StoredShard.from_json(json.loads(json.dumps(shard.to_json()))) == shard


def test_what_a_worker_holds_does_not_grow_with_its_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("lookalike.runner.parts._BYTES", 1 << 18)
    path = str(tmp_path / "a.parquet")
    write_ids(Path(path), [f"photographs/{number:09}.jpg" for number in range(2000)])
    sha256 = files.sha256(path)

    def peak(count: int) -> int:
        folder = str(tmp_path / f"run-{count}")
        work = ReadIds(str(tmp_path), folder, 3, folder)
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
    shards = stored(store, "a0", "b0", "c0")
    for piece in ([shards[2]], shards[:2]):
        read(store, piece, parts)
    folder = store.root / "runs" / "read"
    for kind in ("ids", "keys"):
        assert sorted(path.name for path in (folder / kind).iterdir()) == ["0000000.arrow", "0000002.arrow"]

    def rows(schema: pa.Schema) -> list[tuple[Any, ...]]:
        batches = [batch for part in range(parts) for batch in read_rows(str(folder), schema, part, parts)]
        return sorted(tuple(row.values()) for row in pa.Table.from_batches(batches, schema).to_pylist())

    assert rows(IDS) == [(f"{s}-{n}", i) for i, s in enumerate(("a0", "b0", "c0")) for n in range(2)]
    assert rows(KEYS) == [(0, i, n, 64) for i in range(3) for n in range(2)]
