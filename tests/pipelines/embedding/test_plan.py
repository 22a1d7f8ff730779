"""What a run would do: which shards are finished, changed, new."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from lookalike.config.job import Corpus
from lookalike.embedding.plan import make_plan
from lookalike.model.encoder.post_processing import DatabaseAugmentation, PostProcessing
from lookalike.model.errors import LookalikeError
from lookalike.sources import SourceOptions
from tests.conftest import picture
from tests.support.shards import counts, tfrecord


def test_only_a_changed_shard_is_embedded_again(job, pictures):
    shards = job.pack(pictures)
    assert job.run("embed").code == 0
    before = {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.*")}
    Path(shards[1]).write_bytes(tfrecord((b"new", picture(77))))
    done = job.run("embed")
    assert "1 embedded, 2 finished before" in done.out
    after = {path: path.read_bytes() for path in job.store.glob("embeddings/*/*.*")}
    assert after.items() >= before.items(), "what was finished is never modified"
    (note,) = (json.loads(after[path]) for path in after.keys() - before.keys() if path.suffix == ".json")
    assert note["shard"] == os.path.basename(shards[1])
    assert counts(note) == (1, 1, 0, 0, 0)


def test_a_touched_shard_of_the_same_content_gives_the_same_file(job, pictures):
    (shard,) = job.pack(pictures, per_shard=24)
    assert job.run("embed").code == 0
    (before,) = job.notes.values()
    os.utime(shard, (1, 1))
    assert "1 embedded, 0 finished before" in job.run("embed").out
    (after,) = job.notes.values()
    assert (after["path"], after["sha256"]) == (before["path"], before["sha256"])


def test_another_encoder_or_way_of_reading_embeds_everything_again_beside_the_old(
    job, pictures, other_encoder
):
    job.pack(pictures)
    assert job.run("embed").code == 0
    job.set(encoder=str(other_encoder))
    assert "3 embedded, 0 finished" in job.run("embed").out
    job.settings["corpus"]["metadata"] = {}
    assert "3 embedded, 0 finished" in job.run("embed").out
    assert len(list(job.store.glob("embeddings/*/*.json"))) == 9
    assert len(list(job.store.glob("embeddings/*"))) == 2


def test_a_shard_whose_file_name_is_not_utf8_is_refused(job):
    job.pack({"a.jpg": picture(1)})
    (shard,) = job.shards.iterdir()
    try:
        shard.rename(job.shards / b"caf\xe9.tfrecord".decode("utf-8", "surrogateescape"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = job.run("embed")
    assert done.code == 2
    assert done.sentence.endswith("caf\\xe9.tfrecord")


def test_a_store_among_the_images_is_refused_before_anything_is_embedded(job, tmp_path, pictures):
    (tmp_path / "photos").mkdir()
    for name, data in pictures.items():
        (tmp_path / "photos" / name).write_bytes(data)
    places = [f"corpus.shards={tmp_path}/photos", f"store={tmp_path}/photos/store"]
    refused = job.run("embed", *[word for place in places for word in ("--set", place)])
    assert refused.code == 2
    assert "Expected a store outside of the folder of images" in refused.sentence
    assert not list((tmp_path / "photos" / "store").rglob("*.parquet"))


def test_a_plan_tells_what_is_finished_what_changed_and_what_is_new(copied):
    shutil.copytree(copied.settings["corpus"]["shards"], copied.shards, dirs_exist_ok=True)
    copied.set(corpus={"shards": str(copied.shards)})
    plan = make_plan(copied.loaded)
    assert not plan.missing, "the shards were moved with their times of change"
    copied.nightly()
    first, second, third = (Path(shard.place) for shard in make_plan(copied.loaded).shards)
    first.write_bytes(second.read_bytes())
    (copied.shards / "zz.tfrecord").write_bytes(tfrecord((b"new", picture(77))))
    plan = make_plan(copied.loaded)
    assert [shard.name for shard in plan.missing] == [first.name, "zz.tfrecord"]
    assert [any(shard.name == note.shard for note in plan.stored) for shard in plan.missing] == [True, False]
    assert [note.shard for note in plan.notes] == [second.name, third.name]


def test_where_the_content_alone_is_trusted_nothing_counts_as_finished(published):
    plan = make_plan(published.loaded, trust="content")
    assert len(plan.missing) == len(plan.stored) == 3
    assert not make_plan(published.loaded, trust="metadata").missing


IN_THE_OPTIONS = {
    "item_id": "shard/key",
    "id_field": "id",
    "image_field": "image",
    "metadata": {"number": "int64"},
    "max_pixels": 1_000_000,
    "max_bytes": 1_000_000,
}
"""Setting of the corpus that decides what a record becomes -> another value."""
NOT_IN_THEM = {
    "group": "title",
    "format": "tfrecord",
    "images_per_shard": 7,
    "duplicate_ids": "error",
    "follow_links": True,
}


def test_of_every_setting_of_a_corpus_it_is_known_whether_it_is_in_the_digest_of_the_options():
    assert {*IN_THE_OPTIONS, *NOT_IN_THEM, "shards", "trust"} == set(Corpus.model_fields)
    assert {field.name for field in fields(SourceOptions)} <= set(Corpus.model_fields)


@pytest.mark.parametrize("name", [*IN_THE_OPTIONS, *NOT_IN_THEM])
def test_only_what_decides_what_a_record_becomes_decides_the_digest_of_the_options(published, name):
    config = published.loaded
    value = (IN_THE_OPTIONS | NOT_IN_THEM)[name]
    assert getattr(config.corpus, name) != value
    other = config.model_copy(update={"corpus": config.corpus.model_copy(update={name: value})})
    before, after = make_plan(config), make_plan(other)
    same = name in NOT_IN_THEM
    assert (after.options_digest == before.options_digest) == same
    assert (not after.missing) == same


def test_augmentation_of_vectors_that_are_compared_by_distance_is_refused(make_encoder, job, pictures):
    steps = PostProcessing(database_augmentation=DatabaseAugmentation(k=2))
    make_encoder(job.folder / "encoder", post_processing=steps)
    job.set(encoder=str(job.folder / "encoder")).pack(pictures)
    assert make_plan(job.loaded).augmentation == steps.database_augmentation
    job.set(metric="euclidean")
    with pytest.raises(LookalikeError, match=r"needs metric: cosine\. Received: euclidean"):
        make_plan(job.loaded)


def test_a_corpus_that_is_moved_or_written_in_another_way_is_finished(copied, monkeypatch):
    moved = copied.folder / "deeper" / "moved"
    shutil.copytree(copied.settings["corpus"]["shards"], moved)
    monkeypatch.chdir(copied.folder)
    (copied.folder / "all.txt").write_text("".join(f"deeper/moved/{path.name}\n" for path in moved.iterdir()))
    for written in (
        str(moved),
        f"file://{moved}/",
        "deeper/moved",
        "./deeper/../deeper//moved/*.tfrecord",
        "all.txt",
    ):
        plan = make_plan(copied.set(corpus={"shards": written}).loaded)
        assert (len(plan.notes), len(plan.missing)) == (3, 0)


def test_notes_that_name_shards_by_their_whole_path_leave_the_shards_unfinished(copied):
    shards = Path(copied.settings["corpus"]["shards"])
    for path in copied.store.glob("embeddings/*/*.json"):
        note = json.loads(path.read_text())
        path.write_text(json.dumps(note | {"shard": str(shards / note["shard"])}))
    plan = make_plan(copied.loaded)
    assert (len(plan.notes), len(plan.missing)) == (0, 3)
    assert "3 embedded" in copied.run("embed").out
