"""What an index shard is made of, and when it is built anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lookalike.config.job import Config
from lookalike.embedding.plan import Plan, make_plan
from lookalike.index import build
from lookalike.index.build import IndexTask, build_index_shard, decided_by, make_tasks
from lookalike.index.duplicates import LeftOut
from lookalike.index.inputs import write_inputs
from lookalike.index.shard import ShardContent
from lookalike.index.tuning import AskedQueries, BuildOptions
from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError
from tests.conftest import Job

LENIENT = ("--set", "gates.max_reject_fraction=1", "--set", "gates.max_shrink_fraction=1")


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


def test_another_metric_or_recall_target_builds_another_index_from_the_same_embeddings(copied):
    before = copied.generation["indexes"]
    done = copied.nightly("--set", "metric=euclidean")
    assert "0 embedded, 3 finished before" in done.out
    assert "1 shards built" in done.out
    assert copied.generation["indexes"] != before
    assert copied.generation["metric"] == "euclidean"


def test_other_bytes_of_a_vector_build_another_index_and_those_of_before_are_found_again(copied):
    (before,) = copied.generation["indexes"]
    done = copied.nightly("--set", "index.bytes=int8")
    assert "0 embedded, 3 finished before" in done.out
    assert "1 shards built" in done.out
    (after,) = copied.generation["indexes"]
    assert after["path"] != before["path"]
    names = {path.name for path in (copied.store / after["path"]).iterdir()}
    assert {"int8_dataset.npy", "int8_multipliers.npy"} <= names
    (copied.folder / "ids.txt").write_text("p01.jpg")
    assert copied.query(copied.folder / "ids.txt", "-k", 2).code == 0
    first = copied.results.to_pylist()[0]
    assert (first["item_id"], first["score"]) == ("p01.jpg", pytest.approx(1, abs=1e-6))
    assert "0 shards built" in copied.nightly().out
    assert copied.generation["indexes"] == [before]


def test_an_unfinished_index_folder_is_built_anew(copied):
    (ref,) = copied.generation["indexes"]
    (copied.store / ref["path"] / "manifest.json").unlink()
    assert "1 shards built" in copied.nightly().out
    assert copied.query(copied.vectors_file([[1.0] * 16])).code == 0


IN_THE_NAME = {
    "inputs": {"sha256": "1" * 64},
    "left_out": {"left_out": [LeftOut(0, "p00.jpg", None, True)]},
    "encoder": {"fingerprint": "f" * 64},
    "metric": {"metric": "euclidean"},
    "metadata": {"corpus": {"metadata": {"title": "string"}}},
    "options": {"index": {"recall_target": 0.5}},
    "bytes": {"index": {"bytes": "int8"}},
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
NO_FIELDS = {"bytes", "left_out", "scann", "threads", "largest k", "a k that others stand for"}
"""What stands in a field beside others, or in none."""
FOLLOWS = {"path", "number", "shards", "vectors", "dim", "decided_by"}
"""The path is the name, with the numbers, which the inputs decide, as they do the vectors; the encoder decides the
dimension; what decides besides the inputs is a digest of the others."""


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
    (task,) = tasks_of(job.folder, config, plan, change.get("left_out", []), run_folder, change.get("asked"))
    return task.path


def tasks_of(
    folder: Path,
    config: Config,
    plan: Plan,
    left_out: Sequence[LeftOut] = (),
    run_folder: str = "runs/r",
    asked: AskedQueries | None = None,
) -> list[IndexTask]:
    """The tasks of a night, the list of their embedding files in a folder."""
    path = str(folder / "inputs.arrow")
    inputs = write_inputs(path, plan.notes, left_out, 1, decided_by(config, plan, asked))
    return make_tasks(config, plan, inputs, run_folder, asked)


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
    (task,) = tasks_of(copied.folder, config, make_plan(config))
    path = copied.store / make_plan(config).notes[1].path
    content = bytearray(path.read_bytes())
    # In a vector, where Parquet itself notices nothing.
    at = content.index(np.float32(copied.embeddings["embedding"][8].as_py()[0]).tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(LookalikeError, match=path.name):
        build_index_shard(task)
    assert not (copied.store / task.path).exists()


def test_what_is_left_out_of_embedding_files_is_not_in_the_index(copied):
    config = copied.loaded.model_copy(update={"metric": "euclidean"})
    gone = [LeftOut(0, "p00.jpg", None, True), LeftOut(2, "p20.jpg", 1, False)]
    (task,) = tasks_of(copied.folder, config, make_plan(config), gone)
    content = build._read_embeddings(task)
    expected = [i for i in copied.embeddings["item_id"].to_pylist() if i not in ("p00.jpg", "p20.jpg")]
    rows = content.items["item_id"].to_pylist()
    assert (task.vectors, sorted(rows)) == (22, expected)
    of_id = {row["item_id"]: row for row in copied.embeddings.to_pylist()}
    for item_id, vector in zip(rows, content.vectors, strict=True):
        assert vector.tolist() == of_id[item_id]["embedding"]
    assert content.items.schema.names == ["item_id", "title", "number"]
    assert content.items["title"].to_pylist() == [of_id[item_id]["title"] for item_id in rows]


@pytest.mark.parametrize("vectors", [23, 25])
def test_a_note_with_another_number_of_vectors_than_its_file_is_told(copied, vectors):
    config = copied.loaded.model_copy(update={"metric": "euclidean"})
    (task,) = tasks_of(copied.folder, config, make_plan(config))
    with pytest.raises(LookalikeError, match=rf"of {vectors} vectors, as their notes say\. Received: 24"):
        build_index_shard(replace(task, vectors=vectors))


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
        number=1,
        shards=2,
        inputs=f"/{name}/runs/r/inputs.arrow",
        vectors=7,
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
