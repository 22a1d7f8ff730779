"""The table of what is kept of embedding files."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.store import kept
from lookalike.store.kept import NOTHING, KeptTable
from lookalike.store.kept_parts import DamagedKeptError, write_rows
from lookalike.store.splits import IDS, KEYS
from tests.support.small_stores import ENCODER, a_note, flip

NOTES = [a_note(path=f"embeddings/e/{name}.parquet") for name in "abc"]


def table(name: str = "x", parts: int = 1) -> KeptTable:
    fields = np.array([0, 1, 0], np.int32)
    return KeptTable(kept.files_of(NOTES), (("title",), ()), fields, name, parts)


def write(store: str, made: KeptTable) -> None:
    """The table, and its rows, of which there are none."""
    for part in range(made.parts):
        for schema in (IDS, KEYS):
            with write_rows(kept.parts_of(store, ENCODER, made).path(schema, part), schema):
                pass
    kept.replace_rows(store, ENCODER, made)


@pytest.fixture
def store(tmp_path) -> str:
    return str(tmp_path)


def names(store) -> list[str]:
    return sorted(path.name for path in store.glob("kept/**/*") if path.is_file())


def test_a_table_is_read_as_it_was_written(store):
    write(store, table(parts=2))
    found = kept.read_table(store, ENCODER)
    assert (found.name, found.parts, found.fields, len(found)) == ("x", 2, (("title",), ()), 3)
    assert found.files.equals(table().files)
    assert found.fields_of.tolist() == [0, 1, 0]
    assert found.with_values(np.array([1])) == set()
    assert found.with_values(np.array([1, 2])) == {"title"}


def test_of_a_file_whose_fields_are_not_known_none_counts_as_having_values():
    fields = np.array([-1, 0, 0], np.int32)
    made = KeptTable(kept.files_of(NOTES), (("title",),), fields)
    assert made.with_values(np.array([0])) == set()


def test_an_embedding_file_is_known_by_its_path_and_its_digest(store):
    other_path, other_digest = (
        a_note(path="embeddings/e/d.parquet"),
        a_note(path=NOTES[0].path, sha256="1" * 64),
    )
    renamed = a_note(path=NOTES[2].path, shard="other.tar", token="2")
    assert table().rows_of([other_path, renamed, other_digest, NOTES[0]]).tolist() == [-1, 2, -1, 0]
    assert NOTHING.rows_of(NOTES).tolist() == [-1, -1, -1]


def test_nothing_is_kept_in_an_old_store_nor_of_another_encoder_nor_by_another_version(store, monkeypatch):
    assert kept.read_table(store, ENCODER) is NOTHING
    write(store, table())
    assert kept.read_table(store, "f" * 64) is NOTHING
    monkeypatch.setattr(kept, "_FORMAT", b"2")
    assert kept.read_table(store, ENCODER) is NOTHING


def test_rows_are_named_by_their_files_in_order_and_by_the_number_of_parts(store):
    def name(notes, parts: int) -> str:
        files = kept.files_of(notes)
        return KeptTable(files, ((),), np.zeros(len(files), np.int32)).split_into(parts).name

    names = {name(NOTES, 1), name(NOTES, 2), name(NOTES, 16), name(NOTES[::-1], 1), name(NOTES[1:], 1)}
    assert len(names) == 5
    sliced = KeptTable(kept.files_of(NOTES)[1:], ((),), np.zeros(2, np.int32)).split_into(1)
    assert (sliced.name, sliced.parts) == (name(NOTES[1:], 1), 1)


def test_rows_of_other_runs_are_deleted_when_the_table_is_replaced(store, tmp_path):
    write(store, table("a"))
    write(store, table("ab", 2))
    kinds = ("ids", "keys")
    assert names(tmp_path) == [
        *(f"ab-0000{n}.{kind}.arrow" for n in (0, 1) for kind in kinds),
        f"{ENCODER[:16]}.arrow",
    ]


def test_rows_that_are_replaced_are_surely_deleted_before_anything_is_published(store, tmp_path, monkeypatch):
    write(store, table("a"))
    synced = []
    monkeypatch.setattr(kept.files, "sync", lambda folder: synced.append((folder, names(tmp_path))))
    write(store, table("b"))
    [(folder, held)] = synced
    assert folder == str(tmp_path / "kept" / ENCODER[:16])
    assert not [name for name in held if name.startswith("a-")]


@pytest.mark.parametrize("flags", [[], ["--runner=FnApiRunner"]])
def test_what_is_not_whole_is_told_and_forgotten(store, tmp_path, caplog, flags):
    usable = (store, ENCODER, f"{store}/run", (IDS, KEYS), flags)
    write(store, table(parts=2))
    assert len(kept.usable(*usable)) == 3
    flip(tmp_path / "kept" / ENCODER[:16] / "x-00001.keys.arrow", 5)
    assert len(kept.usable(*usable[:3], [IDS], flags)) == 3
    assert kept.usable(*usable) is NOTHING
    assert "x-00001.keys.arrow is damaged: every embedding file is read again" in caplog.text
    assert kept.usable(*usable) is NOTHING
    assert f"{ENCODER[:16]}.arrow" not in names(tmp_path)


def test_a_damaged_table_is_forgotten_too(store, tmp_path, caplog):
    write(store, table())
    flip(tmp_path / "kept" / f"{ENCODER[:16]}.arrow", 50)
    with pytest.raises(DamagedKeptError):
        kept.read_table(store, ENCODER)
    assert kept.usable(store, ENCODER, f"{store}/run", (IDS,), ()) is NOTHING
    assert "is damaged" in caplog.text


def test_every_damaged_file_is_named(store, tmp_path):
    assert kept.damage(store, ENCODER) == []
    write(store, table(parts=2))
    assert kept.damage(store, ENCODER) == []
    rows = tmp_path / "kept" / ENCODER[:16]
    flip(rows / "x-00000.ids.arrow", 5)
    (rows / "x-00001.keys.arrow").unlink()
    assert [sentence.removeprefix(f"{rows}/") for sentence in kept.damage(store, ENCODER)] == [
        "x-00000.ids.arrow is damaged",
        "x-00001.keys.arrow is not there",
    ]
    flip(tmp_path / "kept" / f"{ENCODER[:16]}.arrow", 5)
    assert len(kept.damage(store, ENCODER)) == 1


def test_rows_that_a_run_replaces_meanwhile_are_not_called_damaged(store, tmp_path, monkeypatch):
    write(store, table("a"))
    read, before = kept.read_table, kept.read_table(store, ENCODER)
    write(store, table("b"))
    answers = iter([before])
    monkeypatch.setattr(kept, "read_table", lambda *a: next(answers, None) or read(*a))
    assert kept.damage(store, ENCODER) == []


def test_files_of_other_encoders_are_told_apart(store, tmp_path):
    write(store, table())
    kept.replace_rows(store, "f" * 64, table("y"))
    assert list(kept.of_others(store, [ENCODER, "f" * 64])) == []
    assert {file.path for file in kept.of_others(store, ["f" * 64])} == {
        str(path) for path in tmp_path.glob(f"kept/{ENCODER[:16]}*/**/*") if path.is_file()
    } | {str(tmp_path / "kept" / f"{ENCODER[:16]}.arrow")}
