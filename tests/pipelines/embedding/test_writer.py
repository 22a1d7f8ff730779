"""The embedding file that a shard becomes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.embedding import writer as writer_module
from lookalike.embedding.writer import EmbeddingWriter
from lookalike.filesystem import files
from lookalike.model.digests import sha256_file
from lookalike.model.encoder.bundle import Encoder
from lookalike.sources.records import Reject
from lookalike.store.notes import write_note
from lookalike.store.verify import verify
from tests.conftest import DIM
from tests.support.small_stores import a_note


def test_an_embedding_file_has_the_columns_of_the_contract(job, pictures, encoder):
    (shard, *_) = job.pack(pictures)
    job.settings["corpus"]["metadata"] = {"title": "string", "number": "float64"}
    assert job.run("embed").code == 0
    note = job.notes[os.path.basename(shard)]
    schema = pq.read_schema(job.store / note["path"])
    element = pa.field("element", pa.float32(), nullable=False)
    assert [(f.name, f.type) for f in schema] == [
        ("item_id", pa.string()),
        ("embedding", pa.list_(element, DIM)),
        ("content_hash", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("title", pa.string()),
        ("number", pa.float64()),
    ]
    assert not schema.field("embedding").type.value_field.nullable
    stored = pq.read_metadata(job.store / note["path"]).metadata
    facts = {k: v for k, v in stored.items() if k.startswith(b"lookalike.")}
    assert facts == {
        b"lookalike.encoder": Encoder.load(encoder).fingerprint.encode(),
        b"lookalike.shard": os.path.basename(shard).encode(),
        b"lookalike.shard_digest": note["digest"].encode(),
    }


def test_duckdb_reads_an_embedding_file_without_help(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    paths = [str(job.store / note["path"]) for note in job.notes.values()]
    rows = duckdb.sql(
        f"SELECT item_id, len(embedding), list_sum(embedding) FROM read_parquet({paths}) ORDER BY item_id"
    ).fetchall()
    assert [(row[0], row[1]) for row in rows] == [(name, DIM) for name in sorted(pictures)]
    sums = [sum(vector) for vector in job.embeddings["embedding"].to_pylist()]
    np.testing.assert_allclose([row[2] for row in rows], sums, atol=1e-5)


def test_a_full_disk_is_told_and_leaves_nothing_half_written(job, pictures, mounted):
    job.pack(pictures, per_shard=2)
    store = mounted("store", 72)
    done = job.run("embed")
    assert done.code == 2
    assert "No space left on device" in done.sentence
    assert not [path for path in store.rglob("*") if ".tmp-" in path.name]
    for note in job.notes.values():
        assert hashlib.sha256((store / note["path"]).read_bytes()).hexdigest() == note["sha256"]
    subprocess.run(["mount", "-o", "remount,size=4m", str(store)], check=True)
    assert job.run("embed").code == 0
    assert job.embeddings["item_id"].to_pylist() == sorted(pictures)


def written(store, vectors=(), rejects=()) -> dict[str, str]:
    writer = EmbeddingWriter(str(store), "shards/a b.tar", "e" * 64, 2, {})
    for number, vector in enumerate(vectors):
        writer.add((f"i{number}", f"hash {number}", 8 + number, 4), np.array(vector))
    for reject in rejects:
        writer.reject(reject)
    return writer.close("digest", "options")


def test_names_come_from_the_content_and_the_same_rows_give_the_same_bytes(tmp_path):
    one, other = written(tmp_path / "one", [[1, 2], [3, 4]]), written(tmp_path / "other", [[1, 2], [3, 4]])
    assert one == other
    assert re.fullmatch(r"embeddings/e{16}/a-b\.tar-[0-9a-f]{16}\.parquet", one["path"])
    assert one["sha256"] == sha256_file(tmp_path / "one" / one["path"])
    assert one["rejects_sha256"] == sha256_file(tmp_path / "one" / one["rejects_path"])


def other_bytes(monkeypatch) -> None:
    """Parquet as another version of pyarrow may write it."""
    real = pq.ParquetWriter

    def write_table(table, where, **_) -> None:
        with real(where, table.schema, compression="gzip") as writer:
            writer.write_table(table)

    monkeypatch.setattr(pq, "ParquetWriter", lambda *a, **o: real(*a, **{**o, "compression": "gzip"}))
    monkeypatch.setattr(pq, "write_table", write_table)


def test_a_touched_shard_leaves_published_files_as_they_are_whatever_bytes_would_be_written_now(
    job, pictures, monkeypatch
):
    shards = job.pack(pictures | {"broken.jpg": b"no picture"})
    job.nightly()
    before = {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.parquet")}
    old = written(job.folder / "old", [[1, 2]])
    other_bytes(monkeypatch)
    assert written(job.folder / "new", [[1, 2]])["sha256"] != old["sha256"], "the bytes are others now"
    for shard in shards:
        os.utime(shard, (1, 1))
    job.nightly()
    assert {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.parquet")} == before
    assert verify(str(job.store)) == []


@pytest.mark.parametrize("lost", ["path", "rejects_path"])
def test_of_a_shard_that_lost_one_file_the_other_stays(tmp_path, monkeypatch, lost):
    rejects = [Reject("b", 7, "decode", "no")]
    first = written(tmp_path, [[1, 2]], rejects)
    counts = {"read": 2, "embedded": 1, "rejected": 1, "duplicates": 0}
    write_note(str(tmp_path), a_note(**first, **counts))
    kept = {"path": "rejects_path", "rejects_path": "path"}[lost]
    content = (tmp_path / first[kept]).read_bytes()
    (tmp_path / first[lost]).unlink()
    other_bytes(monkeypatch)
    again = written(tmp_path, [[1, 2]], rejects)
    assert (tmp_path / first[kept]).read_bytes() == content
    for path, digest in (("path", "sha256"), ("rejects_path", "rejects_sha256")):
        assert sha256_file(tmp_path / again[path]) == again[digest]


def test_a_file_of_before_that_holds_fewer_records_makes_room_for_that_of_now(tmp_path):
    """What a decoder did not read then it may read now."""
    first = written(tmp_path, [[1, 2]], [Reject("b", 7, "decode", "no")])
    counts = {"read": 2, "embedded": 1, "rejected": 1, "duplicates": 0}
    write_note(str(tmp_path), a_note(**first, **counts))
    again = written(tmp_path, [[1, 2], [3, 4]])
    assert pq.read_table(tmp_path / again["path"]).num_rows == 2
    assert pq.read_table(tmp_path / again["rejects_path"]).num_rows == 0
    assert again["sha256"] == sha256_file(tmp_path / again["path"])


def test_more_rows_than_are_held_are_written_in_groups_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "ROW_GROUP", 2)
    table = pq.ParquetFile(tmp_path / written(tmp_path, [[i, -i] for i in range(5)])["path"])
    assert table.num_row_groups == 3
    assert table.read()["embedding"].to_pylist() == [[i, -i] for i in range(5)]


def test_rejects_are_sorted_by_their_place_whenever_they_came(tmp_path):
    rejects = [Reject("b", 7, "decode", "no"), Reject(None, 2, "read", "cut")]
    rows = pq.read_table(tmp_path / written(tmp_path, rejects=rejects)["rejects_path"]).to_pylist()
    assert [(row["position"], row["item_id"], row["shard"]) for row in rows] == [
        (2, None, "shards/a b.tar"),
        (7, "b", "shards/a b.tar"),
    ]


def test_what_is_abandoned_leaves_nothing(tmp_path):
    writer = EmbeddingWriter(str(tmp_path), "a.tar", "e" * 64, 2, {})
    writer.add(("a", "hash", 8, 8), np.zeros(2))
    writer.abandon()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_disk_that_is_full_names_the_file_of_the_shard_and_leaves_nothing(tmp_path, monkeypatch):
    """Arrow says it in words of its own, without a path."""

    def full(*_, **__):
        raise OSError(
            errno.ENOSPC, "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"
        )

    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        EmbeddingWriter(str(tmp_path), "a/some.tar", "e" * 64, 4, {})
    assert "/.some.tar.tmp-" in files.reason(error.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
