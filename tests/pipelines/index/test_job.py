"""The indexing job: what is reused, what is published, and what is refused."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.config.job import Config, Corpus, Index
from lookalike.embedding.plan import make_plan
from lookalike.index import job as index_job
from lookalike.index.gates import EXIT_CODES
from lookalike.index.shard import open_index_shard
from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError
from tests.conftest import picture
from tests.support.shards import tfrecord
from tests.support.small_stores import a_note


def flip(path: Path, at: float) -> None:
    """Changes one bit of a file, at a fraction of its length."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 4
    path.write_bytes(content)


def published_name(job) -> str | None:
    path = job.store / "CURRENT"
    return path.read_text() if path.exists() else None


def test_the_index_holds_every_embedding_once(published):
    (ref,) = published.generation["indexes"]
    shard = open_index_shard(str(published.store / ref["path"]))
    expected = published.embeddings
    order = np.argsort(shard.items["item_id"].to_pylist())
    assert shard.items.take(order).to_pydict() == expected.select(["item_id", "title", "number"]).to_pydict()
    np.testing.assert_allclose(
        shard.searcher.vectors[order], np.stack(expected["embedding"].to_numpy()), atol=1e-7
    )


def test_a_generation_says_what_it_is_made_of_and_its_counts_reconcile(published):
    generation = published.generation
    counts = generation["counts"]
    kinds = ("embedded", "reused", "rejected", "duplicates")
    assert counts["read"] == sum(counts[kind] for kind in kinds) == 24
    assert counts["items"] == sum(ref["count"] for ref in generation["indexes"]) == 24
    for name in (*kinds, "read"):
        assert counts[name] == sum(shard[name] for shard in generation["shards"])
    assert [os.path.basename(shard["shard"]) for shard in generation["shards"]] == sorted(published.notes)
    assert generation["previous"] is None
    assert generation["metadata"] == {"title": "string", "number": "int64"}


def test_an_unchanged_night_publishes_nothing_and_a_changed_one_names_the_one_before(copied):
    first = copied.generation
    assert "still served" in copied.nightly().out
    assert copied.generation == first
    done = copied.nightly("--set", "index.recall_target=0.95")
    assert "1 shards built" in done.out
    second = copied.generation
    assert second["previous"] == first["name"] != second["name"]
    assert [note["path"] for note in second["shards"]] == [note["path"] for note in first["shards"]]
    assert len(list((copied.store / "generations").iterdir())) == 2


def test_index_without_embed_says_what_to_run(job, pictures):
    job.pack(pictures)
    done = job.run("index")
    assert done.code == 2
    assert "3 of 3 shards are not embedded" in done.sentence
    assert "lookalike embed" in done.sentence
    assert published_name(job) is None


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["path", "rejects_path"])
def test_a_flipped_bit_in_a_file_of_an_image_shard_is_found_before_it_is_indexed(copied, kind, at):
    before = published_name(copied)
    shutil.rmtree(copied.store / "indexes")
    path = copied.store / next(iter(copied.notes.values()))[kind]
    flip(path, at)
    done = copied.run("nightly", "--set", "gates.digests=all")
    assert done.code == EXIT_CODES["digests"]
    assert path.name in done.sentence
    assert published_name(copied) == before


def test_only_new_files_are_read_again_unless_all_are_asked_for(copied):
    path = copied.store / next(iter(copied.notes.values()))["rejects_path"]
    flip(path, 0.5)
    change = ["--set", "index.recall_target=0.98"]
    assert copied.run("nightly", *change, "--set", "gates.digests=all").code == EXIT_CODES["digests"]
    assert copied.run("nightly", *change).code == 0


def test_an_embedding_file_that_is_gone_is_made_anew(copied):
    path = copied.store / next(iter(copied.notes.values()))["path"]
    content = path.read_bytes()
    path.unlink()
    assert "1 embedded, 2 finished before" in copied.nightly().out
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    ["", "one-word", "a b c", "\0\0\0\0", "../../x " + "0" * 64, "a\0b " + "0" * 64, "name notahash"],
)
@pytest.mark.parametrize("command", ["nightly", "query"])
def test_a_damaged_current_is_named(copied, content, command):
    (copied.store / "CURRENT").write_text(content)
    done = copied.run("nightly") if command == "nightly" else copied.query(copied.vectors_file([[1.0] * 16]))
    assert done.code == 2
    assert str(copied.store / "CURRENT") in done.sentence
    assert (copied.store / "CURRENT").read_text() == content


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize("command", ["nightly", "query"])
def test_a_damaged_manifest_of_a_generation_is_named(copied, damage, command):
    name = copied.generation["name"]
    before = published_name(copied)
    path = copied.store / "generations" / name / "manifest.json"
    if damage == "flip":
        path.write_text(path.read_text().replace('"items": 24', '"items": 20'))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    done = copied.run("nightly") if command == "nightly" else copied.query(copied.vectors_file([[1.0] * 16]))
    assert done.code == 2
    assert name in done.sentence
    assert published_name(copied) == before


def test_a_full_disk_publishes_nothing_and_leaves_nothing_half_written(job, pictures, mounted):
    job.pack(pictures)
    store = mounted("store", 4096)
    assert job.run("embed").code == 0
    used = sum(-(-path.stat().st_size // 4096) * 4 for path in store.rglob("*") if path.is_file())
    subprocess.run(["mount", "-o", f"remount,size={used + 4}k", str(store)], check=True)
    done = job.run("index")
    assert done.code == 2
    assert "No space left on device" in done.sentence
    assert published_name(job) is None
    assert not [path for path in store.rglob("*") if ".tmp-" in path.name]
    subprocess.run(["mount", "-o", "remount,size=4m", str(store)], check=True)
    assert job.run("index").code == 0


def test_a_store_that_becomes_read_only_is_told(job, pictures, mounted):
    job.pack(pictures)
    store = mounted("store", 4096)
    assert job.run("embed").code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
    done = job.run("index")
    assert done.code == 2
    assert "Read-only file system" in done.sentence


def test_a_manifest_is_json_that_others_can_read(published):
    (manifest,) = published.store.glob("generations/*/manifest.json")
    assert json.loads(manifest.read_text())["format"] == 3


def test_who_lost_the_store_publishes_nothing(copied):
    def lost():
        raise LookalikeError("the lock was lost")

    config = copied.loaded.model_copy(update={"metric": "euclidean"})
    before = published_name(copied)
    with pytest.raises(LookalikeError, match="the lock was lost"):
        index_job.index(config, make_plan(config), still_mine=lost)
    assert published_name(copied) == before


def setting(**sections):
    """A change of the job, by section or key."""

    def change(config: Config) -> Config:
        made = {
            name: getattr(config, name).model_copy(update=value) if isinstance(value, dict) else value
            for name, value in sections.items()
        }
        return config.model_copy(update=made)

    return change


DECIDES = {
    "metric": setting(metric="euclidean"),
    "corpus.metadata": setting(corpus={"metadata": {"title": "string"}}),
    "index.recall_target": setting(index={"recall_target": 0.5}),
    "index.bytes": setting(index={"bytes": "bfloat16"}),
    "index.shard_vectors": setting(index={"shard_vectors": 5}),
    "query": setting(query={"k": 101}),
}
"""Setting that decides what is served of embedding files -> a change of it."""
DOES_NOT = {
    "index.grow": setting(index={"grow": 0.5}),
    "index.threads": setting(index={"threads": 1}),
    "index.worker_memory": setting(index={"worker_memory": 1 << 30}),
    "a small query.k": setting(query={"k": 100}),
}
BY_THE_NOTES = {f"corpus.{name}" for name in Corpus.model_fields} - DECIDES.keys() - {"corpus.duplicate_ids"}
"""What decides embedding files, which a night is compared by."""
NOTES = (a_note(),)
BY_OTHERS = {
    "encoder",
    "store",
    "embed",
    "gates",
    "retention",
    "corpus.duplicate_ids",
    "index.tuning_queries",
    "prices",
    "duplicates",
    "standing",
}
"""The encoder by its fingerprint, queries by their digest; gates are asked in any case; the rest is how, not what."""


def test_of_every_setting_it_is_known_whether_it_makes_another_generation():
    settings = {f"corpus.{name}" for name in Corpus.model_fields} | {f"index.{n}" for n in Index.model_fields}
    settings |= Config.model_fields.keys() - {"corpus", "index"}
    assert settings == DECIDES.keys() | DOES_NOT.keys() - {"a small query.k"} | BY_THE_NOTES | BY_OTHERS


def content(config, notes=NOTES, encoder="e", excluded=(), augmentation=None) -> str:
    return index_job.made_from(config, notes, encoder, pa.array(excluded, pa.string()), augmentation)


@pytest.mark.parametrize("name", [*DECIDES, *DOES_NOT])
def test_a_setting_that_decides_what_is_served_makes_another_generation(published, name):
    changed = (DECIDES | DOES_NOT)[name](published.loaded)
    assert changed != published.loaded
    assert (content(changed) != content(published.loaded)) == (name in DECIDES)


@pytest.mark.parametrize(
    "change",
    [
        {"notes": (a_note(shard="b.tar"),)},
        {"notes": (a_note(path="embeddings/e/b.parquet"),)},
        {"notes": (a_note(sha256="1" * 64),)},
        {"notes": (a_note(), a_note(shard="b.tar"))},
        {"encoder": "f"},
        {"excluded": ["a"]},
        {"augmentation": DatabaseAugmentation(k=2)},
        {"augmentation": DatabaseAugmentation(k=3)},
    ],
    ids=str,
)
def test_whatever_is_served_makes_another_generation(published, change):
    config = published.loaded
    assert content(config, **change) != content(config)
    if "augmentation" in change:
        assert content(config, **change) != content(config, augmentation=DatabaseAugmentation(k=1))


def test_a_night_with_smaller_index_shards_publishes(copied):
    assert "shards built" in copied.nightly("--set", "index.shard_vectors=12").out
    assert len(copied.generation["indexes"]) == 2


def test_of_an_id_in_two_shards_the_record_of_the_first_is_served(job):
    job.shards.mkdir()
    (job.shards / "a.tfrecord").write_bytes(tfrecord((b"x", picture(1))))
    (job.shards / "b.tfrecord").write_bytes(tfrecord((b"x", picture(2)), (b"y", picture(3))))
    job.nightly()
    assert job.query(job.query_file({"q.jpg": picture(1)}), "-k", 1).code == 0
    (found,) = job.results.to_pylist()
    assert (found["item_id"], found["score"] > 0.9999) == ("x", True)


def test_a_manifest_that_is_not_the_published_one_is_published_by_the_next_night(copied):
    (manifest,) = copied.store.glob("indexes/*/manifest.json")
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()), indent=3)
    )  # as another build of it might be
    before = copied.generation["name"]
    assert copied.query(copied.query_file({"a.jpg": picture(1)})).code == 2
    copied.nightly()
    assert copied.generation["name"] != before
    assert copied.query(copied.folder / "queries").code == 0
