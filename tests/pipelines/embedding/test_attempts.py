"""Notes of shards that were begun: kept by what ends a process, and by nothing else."""

from __future__ import annotations

from lookalike.embedding.attempts import begin, end, forget
from lookalike.filesystem.files import FileInfo
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.errors import LookalikeError
from lookalike.sources import Shard

ONE = Shard("one.tar", "webdataset", (FileInfo("one.tar", 10, "1"),))
CHANGED = Shard("one.tar", "webdataset", (FileInfo("one.tar", 11, "2"),))


def test_a_shard_that_was_begun_and_not_ended_is_known(tmp_path):
    store = str(tmp_path)
    assert not begin(store, ONE)
    assert begin(store, ONE)
    assert not begin(store, CHANGED)
    end(store, ONE)
    assert not begin(store, ONE)


def test_all_notes_are_forgotten(tmp_path):
    begin(str(tmp_path), ONE)
    forget(str(tmp_path))
    forget(str(tmp_path))
    assert not begin(str(tmp_path), ONE)


def test_a_run_that_ends_leaves_no_note_whether_well_or_not(job, pictures, monkeypatch):
    job.pack(pictures, per_shard=8)
    encode = Encoder.encode_batch

    def stopped(*_, **__):
        notes = list((job.store / "attempts").iterdir())
        assert notes
        raise LookalikeError("the machine went down")

    monkeypatch.setattr(Encoder, "encode_batch", stopped)
    assert job.run("embed").code == 2
    assert not list((job.store / "attempts").iterdir())
    monkeypatch.setattr(Encoder, "encode_batch", encode)
    assert job.run("embed").code == 0
    assert not (job.store / "attempts").exists()


def test_pictures_of_a_shard_that_was_begun_before_are_suspects(job, pictures, monkeypatch):
    job.pack(pictures, per_shard=8)
    encode, told = Encoder.encode_batch, {}

    def noted(self, images, *, suspect=False):
        told.update(dict.fromkeys(images, suspect))
        return encode(self, images, suspect=suspect)

    monkeypatch.setattr(Encoder, "encode_batch", noted)
    shards = {shard.place: shard for shard in _listed(job)}
    assert len(shards) == 3
    begun = shards[sorted(shards)[1]]
    begin(str(job.store), begun)
    assert job.run("embed").code == 0
    assert sorted(told, key=list(pictures.values()).index) == list(pictures.values())
    assert [told[image] for _, image in sorted(pictures.items())] == [8 <= i < 16 for i in range(24)]


def _listed(job):
    from lookalike.sources import find_shards

    return find_shards(job.loaded.corpus.shards, job.loaded.corpus.source_options())
