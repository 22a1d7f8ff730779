"""Which embedding files an index shard is made of, and when it is built anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lookalike.embedding.plan import make_plan
from lookalike.index.build import assign, make_tasks, number_of
from lookalike.store.notes import EmbeddedShard
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


def test_the_name_of_an_index_says_all_that_it_is_made_from(published):
    def names(left_out=(), **sections):
        config = published.loaded.model_copy(update=sections)
        return [task.path for task in make_tasks(config, make_plan(config), dict(left_out), "runs/r")]

    index = published.loaded.index
    (name,) = names()
    assert names() == [name]
    assert name.startswith("indexes/00000-of-00001-")
    shard = make_plan(published.loaded).notes[0].shard
    others = [
        names(left_out={shard: ["p00.jpg"]}),
        names(metric="euclidean"),
        names(index=index.model_copy(update={"recall_target": 0.5})),
    ]
    assert len({name, *(other for (other,) in others)}) == 4
    assert names(index=index.model_copy(update={"threads": 1})) == [name]
