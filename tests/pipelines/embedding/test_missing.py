"""Embedding what is missing."""

from __future__ import annotations

import json

import pytest

from lookalike.embedding.missing import embed_missing
from lookalike.model.encoder.bundle import Encoder


def test_a_second_run_embeds_nothing(job, pictures, monkeypatch):
    job.pack(pictures)
    assert job.run("embed").code == 0
    before = _times(job.store / "embeddings")
    monkeypatch.setattr(Encoder, "submit", lambda *_: pytest.fail("an image was encoded"))
    done = job.run("embed")
    assert (done.code, done.err) == (0, "")
    assert "0 embedded, 3 finished before" in done.out
    assert _times(job.store / "embeddings") == before


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_of_a_corpus_that_is_embedded_the_summary_counts_nothing_and_no_job_begins(published, monkeypatch):
    monkeypatch.setattr("lookalike.embedding.job.embed", lambda *_: pytest.fail("a job began"))
    summary = embed_missing(published.loaded)
    assert (summary.embedded, summary.seconds, summary.skipped) == ((), 0.0, 3)
    assert set(summary.counts.values()) == {0}


def test_what_is_missing_is_embedded_and_nothing_else(copied):
    note = next(copied.store.glob("embeddings/*/*.json"))
    shard = json.loads(note.read_text())["shard"]
    note.unlink()
    summary = embed_missing(copied.loaded)
    assert [done.shard for done in summary.embedded] == [shard]
    assert (summary.skipped, summary.counts["read"]) == (2, 8)
    assert note.exists()
