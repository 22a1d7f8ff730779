"""Notes of finished shards: which count, what they come to, and one that was written before."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.sources.records import Reject
from lookalike.store.note_listing import finished_shards
from lookalike.store.notes import (
    COUNTS,
    EmbeddedShard,
    base_path,
    earlier_note,
    read_rejects,
    reasons_of,
    reject_row,
    stage_seconds,
    standing_note,
    totals,
    write_note,
)
from tests.support.small_stores import ENCODER, SmallStore, a_note, flip


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
    write_note(str(store), note)
    return note


def test_a_note_counts_only_beside_both_of_its_files(tmp_path):
    note = written(tmp_path, a_note())
    assert list(finished_shards(str(tmp_path), note.encoder).notes) == [note]
    assert list(finished_shards(str(tmp_path), "f" * 64).notes) == []
    (tmp_path / note.rejects_path).unlink()
    assert list(finished_shards(str(tmp_path), note.encoder).notes) == []


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
    assert [note.shard for note in finished_shards(str(tmp_path), a.encoder).notes] == [b.shard, a.shard]


def test_a_note_tells_its_format_and_one_without_is_of_the_first(tmp_path):
    note = written(tmp_path, a_note())
    path = tmp_path / note.path.replace(".parquet", ".json")
    told = json.loads(path.read_text())
    assert told.pop("format") == 3
    path.write_text(json.dumps(told))
    assert list(finished_shards(str(tmp_path), note.encoder).notes) == [note]


def test_a_note_of_a_newer_version_is_refused_and_says_what_to_do(tmp_path):
    note = written(tmp_path, a_note())
    path = tmp_path / note.path.replace(".parquet", ".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 4, "colour": "red"}))
    with pytest.raises(LookalikeError, match=r"A newer Lookalike wrote this store: .*Received: 4 in .*json"):
        finished_shards(str(tmp_path), note.encoder)


def embedded(store: SmallStore) -> tuple[EmbeddedShard, tuple[str, ...]]:
    """A finished shard, and what its files are found by."""
    note = store.embed("a0")
    return note, (note.shard, note.digest, note.encoder, note.options)


def test_a_note_stands_for_its_content_while_both_files_are_whole(tmp_path):
    store = SmallStore(tmp_path)
    note, key = embedded(store)
    assert standing_note(store.path, *key) == note
    for number in range(len(key)):
        other = tuple(part + "x" if i == number else part for i, part in enumerate(key))
        assert standing_note(store.path, *other) is None
    for path in (note.path, note.rejects_path):
        content = flip(tmp_path / path, 30)
        assert standing_note(store.path, *key) is None
        assert earlier_note(store.path, *key) == note
        (tmp_path / path).unlink()
        assert standing_note(store.path, *key) is None
        (tmp_path / path).write_bytes(content)
    assert standing_note(store.path, *key) == note


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff", None])
def test_a_note_that_is_none_stands_for_nothing(tmp_path, content):
    store = SmallStore(tmp_path)
    note, key = embedded(store)
    path = tmp_path / note.path.replace(".parquet", ".json")
    told = json.dumps({**json.loads(path.read_text()), "shard": "b.tar"}).encode()
    path.write_bytes(told if content is None else content)
    assert earlier_note(store.path, *key) is None


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


@pytest.mark.parametrize(
    "change",
    [
        {"read": "4"},
        {"seconds": []},
        {"path": "embeddings/x/other.parquet"},
        {"rejects_path": ""},
        {"shard": 1},
    ],
    ids=str,
)
def test_a_note_of_other_types_or_of_another_file_is_named(tmp_path, change):
    note = written(tmp_path, a_note())
    path = tmp_path / note.path.replace(".parquet", ".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LookalikeError, match="delete it to have the shard embedded again") as error:
        finished_shards(str(tmp_path), note.encoder)
    assert path.name in str(error.value)


def test_a_note_nested_too_deeply_is_named(tmp_path):
    note = written(tmp_path, a_note())
    (tmp_path / note.path.replace(".parquet", ".json")).write_bytes(b"[" * 100_000)
    with pytest.raises(LookalikeError, match="is not a finished shard's note"):
        finished_shards(str(tmp_path), note.encoder)


@pytest.mark.parametrize("other", range(4))
def test_files_of_another_shard_content_encoder_or_options_have_another_name(other):
    known = ["a/x.tar", "d" * 64, "e" * 64, "0" * 64]
    changed = [*known]
    changed[other] = ["b/x.tar", "f" * 64, "e" * 16 + "f" * 48, "1" * 64][other]
    assert base_path(*changed) != base_path(*known)


def test_a_shard_whose_name_fills_a_file_name_has_room_for_our_endings():
    assert len(base_path(f"{'a' * 251}.tar", "d", ENCODER, "o").rpartition("/")[2]) < 120


def test_secrets_that_a_reason_repeats_are_not_in_the_rejects():
    reject = Reject("a", 0, "read", "no such object: s3://b/x?X-Amz-Signature=1f")
    assert reject_row("shard", reject)[-1] == "no such object: s3://b/x?X-Amz-Signature=***"
