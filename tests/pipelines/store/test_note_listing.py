"""The file of all notes changes nothing of what is read, whatever became of notes since; it saves opening them, and on
an object store listing them.
"""

import contextlib
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from lookalike.store import note_file, note_listing
from lookalike.store.note_file import break_seal, read_note_file, without, write_note_file
from lookalike.store.note_listing import changed_behind, finished_shards, keep_notes
from lookalike.store.note_table import NoteTable
from lookalike.store.notes import base_path, parse_note, write_note
from tests.support.small_stores import ENCODER, Bucket, a_note

STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "touch", "lose", "forget", "keep"]), st.integers(0, 5)), max_size=25
)


def a_shard(number: int, **fields):
    base = base_path(f"{number}.tar", f"{number:064x}", ENCODER, "0" * 64)
    paths = {"path": f"{base}.parquet", "rejects_path": f"{base}.rejects.parquet"}
    return a_note(
        shard=f"{number}.tar",
        token=f"{number:032x}",
        digest=f"{number:064x}",
        options="0" * 64,
        **paths,
        **fields,
    )


def one_by_one(store):
    """What `finished_shards` gives without the file of all notes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(note_listing, "read_note_file", lambda *_: read_note_file("/nowhere", ENCODER))
        return list(finished_shards(store, ENCODER).notes)


def written(root):
    """What changes if the file of all notes is written."""
    return [path.stat().st_ino for path in (root / "notes").glob("*")]


@settings(max_examples=30, deadline=None)
@given(STEPS, st.integers(0, 99))
def test_it_changes_nothing_of_what_is_read(tmp_path_factory, steps, seed):
    root = tmp_path_factory.mktemp("store")
    store, dice, fresh = str(root), random.Random(seed), []
    clock = 1_000_000_000
    for step, number in steps:
        note = a_shard(number, read=dice.randrange(10))
        path = root / note.path.replace(".parquet", ".json")
        clock += 1
        if step == "write":
            for beside in (note.path, note.rejects_path):
                (root / beside).parent.mkdir(parents=True, exist_ok=True)
                (root / beside).touch()
            write_note(store, note)
            os.utime(path, (clock, clock))
            fresh.append(note)
        elif step == "touch" and path.exists():
            os.utime(path, (clock, clock))
            fresh.append(parse_note(path.read_bytes(), str(path)))
        elif step == "lose":
            (root / dice.choice([note.path, note.rejects_path])).unlink(missing_ok=True)
        elif step == "forget":
            path.unlink(missing_ok=True)
        elif step == "keep":
            are_kept, before = finished_shards(store, ENCODER).are_kept, written(root)
            keep_notes(store, ENCODER, fresh)
            fresh = []
            assert are_kept == (written(root) == before)
            assert finished_shards(store, ENCODER).are_kept
        assert list(finished_shards(store, ENCODER).notes) == one_by_one(store)


def test_notes_that_are_kept_are_not_opened(tmp_path, monkeypatch):
    notes = [a_shard(number) for number in range(30)]
    for note in notes:
        for beside in (note.path, note.rejects_path):
            (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / beside).touch()
        write_note(str(tmp_path), note)
    keep_notes(str(tmp_path), ENCODER, notes[:-1])
    opened = []
    monkeypatch.setattr(files, "read_bytes", lambda path: opened.append(path) or Path(path).read_bytes())
    found = list(finished_shards(str(tmp_path), ENCODER).notes)
    assert sorted(note.shard for note in found) == sorted(note.shard for note in notes)
    assert opened == [str(tmp_path / notes[-1].path.replace(".parquet", ".json"))]


def test_a_damaged_file_of_all_notes_is_told_and_not_used(tmp_path, caplog):
    note = a_shard(1)
    for beside in (note.path, note.rejects_path):
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).touch()
    write_note(str(tmp_path), note)
    keep_notes(str(tmp_path), ENCODER, [note])
    (kept,) = (tmp_path / "notes").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    assert list(finished_shards(str(tmp_path), ENCODER).notes) == [note]
    assert f"{kept} is damaged" in caplog.text


def test_a_note_that_was_tampered_with_since_is_read_where_it_lies(tmp_path):
    note = a_shard(1)
    for beside in (note.path, note.rejects_path):
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).touch()
    write_note(str(tmp_path), note)
    keep_notes(str(tmp_path), ENCODER, [note])
    path = tmp_path / note.path.replace(".parquet", ".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "read": 9}, indent=1, sort_keys=True))
    assert finished_shards(str(tmp_path), ENCODER).notes[0].read == 9


# On an object store

STORE = "mem://bucket/store"
BEHIND = ("deleted", "replaced", "another version")
SEALED = st.lists(
    st.tuples(
        st.sampled_from(["embed", "embed, killed", "prune", "prune, killed", "night", "table lost", *BEHIND]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=20,
)


class Killed(Exception):
    pass


def killed(*_):
    raise Killed


class Nights:
    """Steps of runs, of this version and of those before it, and of people, on a bucket; some are killed."""

    def __init__(self, bucket: Bucket, dice: random.Random) -> None:
        self.bucket, self.dice = bucket, dice
        self.is_untouched = True
        """Whether nobody else wrote or deleted since a run listed."""

    def put(self, shard: int, files_of_it: int = 3) -> None:
        note = a_shard(shard, read=self.dice.randrange(10))
        paths = (note.path, note.rejects_path)
        for path in paths[:files_of_it]:
            files.write_bytes(f"{STORE}/{path}", b"x")
        if files_of_it == 3:
            write_note(STORE, note)
            self.written = note

    def delete(self, shard: int, number: int = 3) -> None:
        base = f"{STORE}/{a_shard(shard).path.removesuffix('.parquet')}"
        for ending in (".json", ".parquet", ".rejects.parquet")[:number]:
            self.bucket.objects.pop(base + ending, None)

    def step(self, what: str, shard: int, moment: int) -> None:
        self.bucket.now += 1
        if what.startswith("embed"):
            plan = finished_shards(STORE, ENCODER)
            break_seal(STORE, ENCODER)
            self.put(shard, 3 if what == "embed" else moment)
            if what == "embed":
                seen = plan.notes if plan.are_listed else ()
                keep_notes(STORE, ENCODER, NoteTable.joined(seen, [self.written]))
                assert self.is_untouched <= finished_shards(STORE, ENCODER).are_kept
        elif what.startswith("prune"):
            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
                if what == "prune, killed" and moment == 3:
                    patch.setattr(note_file, "seal", killed)
                with without(STORE, [a_shard(shard).path, f"indexes/{shard}"]):
                    self.delete(shard, moment if what == "prune, killed" else 3)
                    if what == "prune, killed" and moment < 3:
                        killed()
        elif what == "night":
            plan = finished_shards(STORE, ENCODER)
            if not plan.are_kept:
                keep_notes(STORE, ENCODER, plan.notes)
            after = finished_shards(STORE, ENCODER)
            assert not after.notes or (after.are_kept, after.are_listed) == (True, False)
        elif what == "table lost":
            self.bucket.objects.pop(f"{STORE}/notes/{ENCODER[:16]}.parquet", None)
        elif what == "deleted":
            self.delete(shard, moment)
        elif what == "replaced":
            self.put(shard)
        else:
            self.put(shard, moment)
            kept = read_note_file(STORE, ENCODER)
            write_note_file(STORE, ENCODER, kept.rows(np.arange(len(kept.places)) >= moment))
        self.is_untouched &= what not in BEHIND


@pytest.fixture
def sealed(monkeypatch) -> Nights:
    """Two shards, and a file of their notes that is taken at its word."""
    nights = Nights(Bucket(monkeypatch), random.Random(0))
    for shard in (0, 1):
        nights.step("embed", shard, 0)
    assert not finished_shards(STORE, ENCODER).are_listed
    return nights


def shards_of(found) -> list[str]:
    return sorted(note.shard for note in found.notes)


def test_who_looks_lists_the_store_though_the_file_can_be_taken_at_its_word(sealed):
    sealed.delete(1)
    assert shards_of(finished_shards(STORE, ENCODER)) == ["0.tar", "1.tar"]
    found = finished_shards(STORE, ENCODER, look=True)
    assert (shards_of(found), found.are_listed) == (["0.tar"], True)


def test_a_file_that_names_what_is_gone_is_not_sealed_as_it_is(sealed):
    sealed.delete(1)
    break_seal(STORE, ENCODER)
    assert not finished_shards(STORE, ENCODER).are_kept
    keep_notes(STORE, ENCODER, ())
    found = finished_shards(STORE, ENCODER)
    assert (shards_of(found), found.are_listed) == (["0.tar"], False)


def test_notes_that_are_taken_at_their_word_come_from_the_oldest_to_the_newest(monkeypatch):
    bucket = Bucket(monkeypatch)
    nights = Nights(bucket, random.Random(0))
    written = []
    for shard in (3, 0, 5, 1, 4, 2):
        bucket.now += 1
        nights.put(shard)
        written.append(nights.written)
    keep_notes(STORE, ENCODER, written)
    found = finished_shards(STORE, ENCODER)
    assert not found.are_listed
    assert [note.shard for note in found.notes] == [note.shard for note in written]


def test_a_note_in_the_place_of_another_is_not_believed(tmp_path):
    one, other = a_shard(0), a_shard(1)
    for note in (one, other):
        for beside in (note.path, note.rejects_path):
            (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / beside).touch()
        write_note(str(tmp_path), note)
    names = [tmp_path / note.path.replace(".parquet", ".json") for note in (one, other)]
    names[1].write_bytes(names[0].read_bytes())
    with pytest.raises(LookalikeError, match="is the note of another file"):
        finished_shards(str(tmp_path), ENCODER)


def test_a_note_of_another_size_is_another_also_in_the_same_second(sealed):
    write_note(STORE, a_shard(0, read=1_000_000))
    break_seal(STORE, ENCODER)
    read = {note.shard: note.read for note in finished_shards(STORE, ENCODER).notes}
    assert read["0.tar"] == 1_000_000


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEALED, st.integers(0, 99))
def test_what_is_taken_at_its_word_is_what_would_be_listed(monkeypatch, steps, seed):
    nights = Nights(Bucket(monkeypatch), random.Random(seed))
    for step in steps:
        nights.step(*step)
        found, true = finished_shards(STORE, ENCODER), one_by_one(STORE)
        if found.are_listed:
            nights.is_untouched = True
        if nights.is_untouched:
            assert list(found.notes) == true
        # What somebody else did is found by whoever looks.
        there = {(note.path, note.sha256, note.rejects_sha256) for note in true}
        gone = [n.shard for n in found.notes if (n.path, n.sha256, n.rejects_sha256) not in there]
        assert changed_behind(STORE, ENCODER, found.notes) == gone
        looked = finished_shards(STORE, ENCODER, look=True)
        assert looked.are_listed
        assert list(looked.notes) == true
