"""A store whose rejects lie beside the embedding files, as they did, is used, grown, checked and pruned as another."""

from __future__ import annotations

import os
import shutil

import duckdb
import pytest

from lookalike.embedding import writer
from lookalike.store.notes import rejects_beside
from tests.conftest import Job, picture, run


@pytest.fixture
def older(job, pictures, monkeypatch) -> Job:
    """16 pictures and a broken one, published when rejects lay beside."""
    monkeypatch.setattr(writer, "rejects_of", rejects_beside)
    job.pack({**dict(list(pictures.items())[:16]), "bad.jpg": b"x"})
    job.set(gates={"max_reject_fraction": 0.5})
    job.nightly()
    monkeypatch.undo()
    assert list(job.store.glob("embeddings/*/*.rejects.parquet"))
    assert not list(job.store.glob("embeddings/*/rejects"))
    return job


def test_nothing_of_it_is_embedded_again_and_queries_are_answered(older, pictures):
    assert "still served" in older.nightly().out
    shutil.rmtree(older.store / "notes")
    assert "shards       0 embedded, 3 finished before" in older.nightly().out
    assert run("generations", "verify", "-c", older.config).code == 0
    assert older.query(older.query_file(dict(list(pictures.items())[:2]))).code == 0


def test_new_shards_stand_beside_old_ones_and_old_ones_are_pruned(older, pictures):
    old = sorted(older.store.glob("embeddings/*/*.rejects.parquet"))
    before = older.rejects
    older.pack({"a.jpg": picture(100), **dict(list(pictures.items())[:16]), "bad.jpg": b"x"})
    older.nightly()
    assert run("generations", "verify", "-c", older.config).code == 0
    new = sorted(older.store.glob("embeddings/*/rejects/*.parquet"))
    assert new
    assert [row["item_id"] for row in older.rejects if row["item_id"] == "bad.jpg"]
    assert [row["item_id"] for row in before] == ["bad.jpg"]
    for path in older.store.rglob("*"):
        os.utime(path, (1, 1))
    assert run("generations", "prune", "-c", older.config, "--keep", 1).code == 0
    named = {note["rejects_path"] for note in older.generation["shards"]}
    left = {str(path.relative_to(older.store)) for path in older.store.rglob("*") if "rejects" in str(path)}
    assert named == {path for path in left if path.endswith(".parquet")}
    assert not any(path.exists() for path in old if str(path.relative_to(older.store)) not in named)


def test_duckdb_reads_all_embeddings_and_nothing_else_by_one_pattern(published):
    pattern = published.store / "embeddings" / "*" / "*.parquet"
    rows = duckdb.sql(f"select item_id, embedding from '{pattern}'").fetchall()
    assert len(rows) == 24
    rejects = published.store / "embeddings" / "*" / "rejects" / "*.parquet"
    assert duckdb.sql(f"select count(*) from '{rejects}'").fetchall() == [(0,)]
