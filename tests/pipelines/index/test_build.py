"""Which embedding files an index shard is made of, and when it is built anew."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lookalike.embedding.plan import make_plan
from lookalike.index import build
from lookalike.index.build import EmbeddingInput, IndexTask, assign, build_index_shard, make_tasks, number_of
from lookalike.index.shard import ShardContent
from lookalike.index.tuning import AskedQueries, BuildOptions
from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError
from lookalike.store.notes import EmbeddedShard
from tests.conftest import Job
from tests.support.small_stores import a_note

LENIENT = ("--set", "gates.max_reject_fraction=1", "--set", "gates.max_shrink_fraction=1")


def note(shard: str, vectors: int) -> EmbeddedShard:
    return a_note(shard=shard, read=vectors, embedded=vectors, rejected=0, duplicates=0)


def test_two_stores_of_one_corpus_have_byte_identical_indexes(published, copied):
    shutil.rmtree(copied.store)
    copied.nightly()
    ours, theirs = (sorted(job.store.glob("indexes/*/*")) for job in (copied, published))
    assert [path.relative_to(copied.store) for path in ours] == [
        path.relative_to(published.store) for path in theirs
    ]
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]


def test_only_the_index_shards_of_changed_embeddings_are_built_again(job, pictures):
    shards = job.pack(pictures, per_shard=2)
    job.set(index={"shard_vectors": 6})
    assert "4 shards built" in job.nightly().out
    os.utime(shards[0], (1, 1))
    assert "still served" in job.nightly().out
    content = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(content[: len(content) // 2 + 40])
    done = job.run("nightly", "--set", "gates.allow_damaged_shards=true", *LENIENT)
    assert done.code == 3
    assert "1 shards built" in done.out


def test_index_shards_are_a_power_of_two_and_growth_only_splits_them():
    notes = [note(f"s{i}.tfrecord", 100) for i in range(64)]
    four, eight = assign(notes, 1600), assign(notes, 800)
    assert (len(four), len(eight)) == (4, 8)
    assert sorted(n.shard for part in eight for n in part) == sorted(n.shard for n in notes)
    for number, part in enumerate(eight):
        assert {n.shard for n in part} <= {n.shard for n in four[number % 4]}
    assert assign(notes, 10**9) == [notes]
    assert assign([*notes[:1], note("x", 0)], 100) == [[notes[0], note("x", 0)]]


def test_another_metric_or_recall_target_builds_another_index_from_the_same_embeddings(copied):
    before = copied.generation["indexes"]
    done = copied.nightly("--set", "metric=euclidean")
    assert "0 embedded, 3 finished before" in done.out
    assert "1 shards built" in done.out
    assert copied.generation["indexes"] != before
    assert copied.generation["metric"] == "euclidean"


def test_an_unfinished_index_folder_is_built_anew(copied):
    (ref,) = copied.generation["indexes"]
    (copied.store / ref["path"] / "manifest.json").unlink()
    assert "1 shards built" in copied.nightly().out
    assert copied.query(copied.vectors_file([[1.0] * 16])).code == 0


def test_a_shards_index_follows_from_its_name_alone():
    assert number_of("shards/a.tfrecord", 1) == 0
    names = [f"shards/{number:05}.tfrecord" for number in range(200)]
    numbers = [number_of(name, 8) for name in names]
    assert set(numbers) == set(range(8))
    assert [number % 4 for number in numbers] == [number_of(name, 4) for name in names]
    # Measured once: with another hash every index of every store would be built anew.
    assert [number_of(f"s{i}.tfrecord", 8) for i in range(6)] == [5, 6, 6, 3, 2, 5]


IN_THE_NAME = {
    "inputs": {"sha256": "1" * 64},
    "left_out": {"left_out": ["p00.jpg"]},
    "encoder": {"fingerprint": "f" * 64},
    "metric": {"metric": "euclidean"},
    "metadata": {"corpus": {"metadata": {"title": "string"}}},
    "options": {"index": {"recall_target": 0.5}},
    "largest k": {"query": {"k": 101}},
    "tuning": {"asked": AskedQueries("digest", lambda plan: plan.dim)},
    "augmentation": {"augmentation": DatabaseAugmentation(k=2)},
    "scann": {"scann": "0.0.0"},
}
"""What an index shard is made of -> a change of it."""
NOT_IN_IT = {
    "store": {"store": "elsewhere"},
    "run_folder": {"run_folder": "runs/other"},
    "threads": {"index": {"threads": 1}},
    "a k that others stand for": {"query": {"k": 100}},
}
NO_FIELDS = {"left_out", "scann", "threads", "largest k", "a k that others stand for"}
"""What stands in a field beside others, or in none."""
FOLLOWS = {"path", "dim"}
"""The path is the name, and the encoder decides the dimension."""


def name_of(job: Job, monkeypatch, change: dict[str, Any]) -> str:
    """The path of the one index shard that a job builds, after a change of the job, the plan or a note."""
    config, plan = job.loaded, make_plan(job.loaded)
    run_folder = change.get("run_folder", "runs/r")
    for name, value in change.items():
        if name in ("fingerprint", "augmentation"):
            plan = replace(plan, **{name: value})
        elif name == "sha256":
            first, *others = plan.notes
            plan = replace(plan, notes=[replace(first, sha256=value), *others])
        elif name == "scann":
            monkeypatch.setattr(build, "version", {"scann": value}.__getitem__)
        elif isinstance(value, dict):
            config = config.model_copy(update={name: getattr(config, name).model_copy(update=value)})
        elif name in type(config).model_fields:
            config = config.model_copy(update={name: value})
    left_out = {plan.notes[0].shard: change.get("left_out", [])}
    (task,) = make_tasks(config, plan, left_out, run_folder, change.get("asked"))
    return task.path


def test_of_every_part_of_a_task_it_is_known_whether_it_is_in_the_name():
    parts = {field.name for field in fields(IndexTask)}
    assert parts == (IN_THE_NAME.keys() | NOT_IN_IT.keys() | FOLLOWS) - NO_FIELDS


@pytest.mark.parametrize("part", [*IN_THE_NAME, *NOT_IN_IT])
def test_the_name_of_an_index_says_all_that_it_is_made_from(published, monkeypatch, part):
    usual = name_of(published, monkeypatch, {})
    assert usual.startswith("indexes/00000-of-00001-")
    assert name_of(published, monkeypatch, {}) == usual
    changed = name_of(published, monkeypatch, (IN_THE_NAME | NOT_IN_IT)[part])
    assert (changed != usual) == (part in IN_THE_NAME)


def test_an_embedding_file_is_compared_with_its_digest_when_it_is_indexed(copied):
    config = copied.loaded.model_copy(update={"metric": "euclidean"})
    (task,) = make_tasks(config, make_plan(config), {}, "runs/r")
    path = copied.store / task.inputs[1].path
    content = bytearray(path.read_bytes())
    # In a vector, where Parquet itself notices nothing.
    at = content.index(np.float32(copied.embeddings["embedding"][8].as_py()[0]).tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(LookalikeError, match=path.name):
        build_index_shard(task)
    assert not (copied.store / task.path).exists()


def test_after_augmentation_every_id_has_its_own_vector_also_among_copies():
    """Copies lie in another order behind their vector than they came in."""
    which = [2, 0, 1, 0, 2, 2, 1]
    vectors = np.eye(4, dtype=np.float32)[which]
    ids = [f"i{number}" for number in (6, 3, 5, 0, 4, 1, 2)]
    content = ShardContent(pa.table({"item_id": ids}), vectors, "cosine", "e")
    drawn = build._augmented(content, BuildOptions(threads=1), DatabaseAugmentation(k=2))
    of_id = dict(zip(drawn.items["item_id"].to_pylist(), drawn.vectors, strict=True))
    for item_id, vector in zip(ids, vectors, strict=True):
        assert of_id[item_id] @ vector > 0.9


@pytest.mark.parametrize("augmentation", [None, DatabaseAugmentation(k=2)])
def test_a_task_comes_back_from_json_as_it_was(augmentation):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    task = IndexTask(
        store=f"/{name}",
        path="indexes/i",
        inputs=(EmbeddingInput("a.parquet", "0" * 64, ("one", "two")), EmbeddingInput("b.parquet", "1", ())),
        encoder="e",
        dim=8,
        metric="cosine",
        metadata={"z": "string", "a": "int64"},
        options=BuildOptions(0.9, 2, "brute_force", 50),
        run_folder="runs/r",
        augmentation=augmentation,
        tuning="tuning.npy",
    )
    back = IndexTask.from_json(json.loads(json.dumps(task.to_json())))
    assert back == task
    assert list(back.metadata) == ["z", "a"]
