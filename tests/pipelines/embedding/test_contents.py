"""The first look into missing shards."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow.parquet as pq

from lookalike.embedding.contents import ReadContents
from lookalike.embedding.job import _task
from lookalike.embedding.outcomes import OutcomeLog, read_outcomes, run_file
from lookalike.embedding.plan import make_plan


def look(job) -> tuple:
    """Reads the contents of what is missing; gives plan and task."""
    plan = make_plan(job.loaded)
    task = _task(job.loaded, plan, ())
    ReadContents(task)(plan.missing)
    return plan, task


def test_what_a_shard_holds_is_listed_by_place_and_content(job, pictures, monkeypatch):
    monkeypatch.setattr("lookalike.embedding.recorded._ROWS", 3)
    job.pack(pictures)
    plan, task = look(job)
    tables = [pq.read_table(run_file(task.run_folder, "contents", shard)) for shard in plan.missing]
    assert [table["position"].to_pylist() for table in tables] == [list(range(8))] * 3
    hashes = [hashlib.sha256(pictures[name]).hexdigest() for name in sorted(pictures)]
    assert [digest for table in tables for digest in table["content_hash"].to_pylist()] == hashes
    assert read_outcomes(task.run_folder).done == set()


def test_a_shard_whose_content_is_embedded_is_finished_and_nothing_but_its_note_is_written(job, pictures):
    shards = job.pack(pictures | {"bad.jpg": b"none"})
    assert job.run("embed").code == 0
    before = {path: path.stat().st_mtime_ns for path in job.store.glob("embeddings/*/*.parquet")}
    os.utime(shards[0], (1, 1))
    plan, task = look(job)
    told = read_outcomes(task.run_folder)
    (note,) = told.notes
    assert (note.shard, note.token) == (Path(shards[0]).name, plan.missing[0].token)
    assert told.counts == {"read": 8, "embedded": 0, "reused": 7, "rejected": 1, "duplicates": 0}
    assert {path: path.stat().st_mtime_ns for path in job.store.glob("embeddings/*/*.parquet")} == before
    assert not make_plan(job.loaded).missing


def test_a_shard_that_is_gone_is_unfinished(job, pictures, monkeypatch):
    shards = job.pack(pictures)
    real = OutcomeLog.is_done

    def gone(self, shard):
        Path(shards[1]).unlink(missing_ok=True)
        return real(self, shard)

    monkeypatch.setattr(OutcomeLog, "is_done", gone)
    _, task = look(job)
    ((name, sentence),) = read_outcomes(task.run_folder).unfinished.items()
    assert name == Path(shards[1]).name
    assert "No such file" in sentence
