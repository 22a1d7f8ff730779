"""The file of all notes changes nothing of what is read, whatever became of notes since; it saves opening them."""

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.filesystem import files
from lookalike.store import note_listing
from lookalike.store.note_listing import finished_shards, keep_notes
from lookalike.store.notes import base_path, parse_note, write_note
from tests.support.small_stores import ENCODER, a_note

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
        patch.setattr(note_listing, "_path", lambda *_: "/dev/null/none")
        patch.setattr(note_listing, "_kept", lambda *_: note_listing._Kept(*NOTHING))
        return list(finished_shards(store, ENCODER).notes)


def written(root):
    """What changes if the file of all notes is written."""
    return [path.stat().st_ino for path in (root / "notes").glob("*")]


NOTHING = (
    note_listing.NoteTable.of(()),
    note_listing.np.empty(0, "uint64"),
    note_listing.np.empty(0, "int64"),
    note_listing.pa.chunked_array([], note_listing.pa.string()),
)


@settings(max_examples=60, deadline=None)
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
