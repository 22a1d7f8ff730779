"""What dead runs left is deleted before the next one starts, and nothing else is."""

from __future__ import annotations

import logging

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.leftovers import clean_up, writing
from lookalike.store.lock import hold
from tests.support.small_stores import Bucket

RUN = "0" * 32


def test_cleaning_up_deletes_what_dead_runs_left_and_nothing_else(tmp_path, caplog):
    kept = ["CURRENT", "embeddings/e/a.parquet", "indexes/i/manifest.json", "mine/.own.tmp-1", ".other.tmp-1"]
    kept += ["embeddings/e/x.tmp-1.parquet", ".excluded.parquet.tmp-7"]
    gone = [".CURRENT.tmp-12", "embeddings/e/.embedding.tmp-ab", "indexes/.index.tmp-x/dataset.npy"]
    gone += [
        "indexes/.index.tmp-x/sub/.y.tmp-1",
        "generations/g/.manifest.json.tmp-1",
        f"runs/{RUN}/worker.json",
    ]
    gone += [f"{folder}/.x.tmp-1" for folder in ("encoders", "reports", "notes", "kept", "standing")]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    with caplog.at_level(logging.INFO):
        done = clean_up(str(tmp_path))
    assert (done.files, done.bytes) == (len(gone), 5 * len(gone))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "indexes/.index.tmp-x").exists()
    assert len(caplog.records) == 1
    caplog.clear()
    assert clean_up(str(tmp_path)).files == 0
    assert clean_up(str(tmp_path / "nowhere")).files == 0
    assert not caplog.records


def test_leftovers_of_a_dead_run_are_deleted(copied):
    left = copied.store / "embeddings" / ".embedding.tmp-x"
    left.write_bytes(b"half")
    (copied.store / "indexes" / ".index.tmp-y").mkdir()
    (copied.store / "reports" / ".latest.json.tmp-1").touch()
    copied.nightly()
    assert not left.exists()
    assert not list(copied.store.rglob(".*tmp-*"))


def test_behind_a_url_only_notes_of_progress_are_left_and_deleted(monkeypatch):
    bucket = Bucket(monkeypatch)
    bucket.objects = {"mem://b/store/runs/" + RUN + "/w.json": (b"12", 0), "mem://b/store/CURRENT": (b"x", 0)}
    done = clean_up("mem://b/store")
    assert (done.files, done.bytes) == (1, 2)
    assert list(bucket.objects) == ["mem://b/store/CURRENT"]


def test_a_run_cleans_up_once_the_store_is_its_own(copied):
    left = copied.store / ".CURRENT.tmp-1"
    left.touch()
    with (
        hold(str(copied.store), "nightly"),
        pytest.raises(LookalikeError, match="Another run"),
        writing(copied.loaded, "embed"),
    ):
        pass
    assert left.exists(), "the files of a run that lives are no leftovers"
    with writing(copied.loaded, "embed") as still_mine:
        assert not left.exists()
        still_mine()


def test_a_job_without_an_encoder_makes_no_store(job):
    job.set(encoder=str(job.folder / "none"))
    with pytest.raises(LookalikeError, match="none"), writing(job.loaded, "embed"):
        pass
    assert not job.store.exists()
