"""Notes of finished shards: which count, what they come to, and one that was written before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lookalike.store.notes import (
    COUNTS,
    EmbeddedShard,
    finished_shards,
    read_rejects,
    reasons_of,
    stage_seconds,
    totals,
    write_note,
)
from tests.support.small_stores import ENCODER, SmallStore, a_note


def test_what_a_killed_run_left_half_written_is_never_read(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    (folder,) = job.store.glob("embeddings/*")
    (folder / ".embedding.tmp-abc").write_bytes(b"PAR1 half")
    finished = next(folder.glob("*.json"))
    finished.unlink()
    done = job.run("nightly")
    assert "1 embedded, 2 finished before" in done.out
    assert job.generation["counts"]["items"] == 24


def test_a_damaged_note_is_named_and_says_how_to_mend_it(job, pictures):
    job.pack(pictures)
    assert job.run("embed").code == 0
    note = next(job.store.glob("embeddings/*/*.json"))
    note.write_text(note.read_text()[:-9])
    done = job.run("embed")
    assert done.code == 2
    assert str(note) in done.sentence
    assert "delete it" in done.sentence
    note.unlink()
    assert job.run("embed").code == 0


def written(store: Path, note: EmbeddedShard) -> EmbeddedShard:
    """Writes a note beside the two files that it tells of."""
    for path in (note.path, note.rejects_path):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).touch()
    return write_note(str(store), note)


def test_a_note_counts_only_beside_both_of_its_files(tmp_path):
    note = written(tmp_path, a_note())
    assert finished_shards(str(tmp_path), note.encoder) == [note]
    assert finished_shards(str(tmp_path), "f" * 64) == []
    (tmp_path / note.rejects_path).unlink()
    assert finished_shards(str(tmp_path), note.encoder) == []


def test_the_newest_note_comes_last(tmp_path):
    folder = f"embeddings/{ENCODER[:16]}"
    a, b = (
        written(
            tmp_path,
            a_note(shard=x, path=f"{folder}/{x}.parquet", rejects_path=f"{folder}/{x}.rejects.parquet"),
        )
        for x in "ab"
    )
    os.utime(tmp_path / a.path.replace(".parquet", ".json"), (2e9, 2e9))
    assert [note.shard for note in finished_shards(str(tmp_path), a.encoder)] == [b.shard, a.shard]


def test_the_same_content_keeps_its_note_but_for_what_tells_that_it_is_unchanged(tmp_path):
    first = written(tmp_path, a_note())
    again = a_note(token="2", embedded=0, reused=2, bytes=11, seconds={"read": 9.0})
    assert write_note(str(tmp_path), again) == replace(first, token="2")


@pytest.mark.parametrize("change", [{"damaged": "cut"}, {"embedded": 1, "reused": 0}, "unreadable"])
def test_another_content_or_a_note_that_cannot_be_read_is_written_over(tmp_path, change):
    first = written(tmp_path, a_note())
    if change == "unreadable":
        (tmp_path / first.path.replace(".parquet", ".json")).write_text("{")
        change = {}
    second = a_note(token="2", bytes=11, **change)
    assert write_note(str(tmp_path), second) == second
    assert finished_shards(str(tmp_path), first.encoder) == [second]


def test_what_shards_come_to_is_the_sum_of_each_part():
    notes = [a_note(), a_note(read=10, embedded=8, seconds={"read": 1.5}, reasons={"decode": 2})]
    assert totals(notes) == {"read": 14, "embedded": 10, "reused": 0, "rejected": 2, "duplicates": 2}
    assert totals([]) == dict.fromkeys(COUNTS, 0)
    assert reasons_of(notes) == {"decode": 3, "duplicate": 1}
    assert stage_seconds(notes) == {"read": 2.0, "decode": 1.0, "network": 2.0, "write": 0.25}


def test_rejects_of_all_shards_come_in_order(tmp_path):
    store = SmallStore(tmp_path)
    notes = [store.embed("a0"), store.embed("b0")]
    found = [(row["shard"], row["item_id"], row["stage"]) for row in read_rejects(store.path, notes)]
    assert found == [
        ("a.tar", "broken", "decode"),
        ("a.tar", "a0-0", "duplicate"),
        ("b.tar", "broken", "decode"),
        ("b.tar", "b0-0", "duplicate"),
    ]
