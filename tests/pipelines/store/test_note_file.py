"""On an object store the file of all notes is sealed while it is true, and whoever changes what it names breaks the
seal first; on a disk there is no seal.
"""

import contextlib

import pytest

from lookalike.filesystem import files
from lookalike.store.note_file import break_seal, place_of, read_note_file, seal, without, write_note_file
from lookalike.store.note_listing import keep_notes
from lookalike.store.notes import note_path, write_note
from tests.support.small_stores import ENCODER, Bucket, a_note

STORE = "mem://bucket/store"
TABLE, SEAL = (f"{STORE}/notes/{ENCODER[:16]}.{ending}" for ending in ("parquet", "sha256"))
OTHER = "f" * 64


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    return Bucket(monkeypatch)


def shards(store: str, count: int, encoder: str = ENCODER) -> list[str]:
    """Some shards, kept; gives what they are called in the store."""
    paths = [f"embeddings/{encoder[:16]}/{number}.parquet" for number in range(count)]
    notes = []
    for path in paths:
        rejects = path.replace(".parquet", ".rejects.parquet")
        for file in (path, rejects):
            files.write_bytes(files.join(store, file), b"x")
        notes.append(a_note(shard=path, path=path, rejects_path=rejects, encoder=encoder))
        write_note(store, notes[-1])
    keep_notes(store, encoder, notes)
    return paths


def named(encoder: str = ENCODER) -> set[str]:
    return {note.path for note in read_note_file(STORE, encoder).notes}


def test_it_is_sealed_and_who_breaks_the_seal_is_the_last_to_have_it(bucket):
    shards(STORE, 2)
    held = read_note_file(STORE, ENCODER)
    assert held.is_sealed
    assert bucket.objects[SEAL][0].decode().strip() == held.sha256 == files.sha256(TABLE)
    break_seal(STORE, ENCODER)
    assert not read_note_file(STORE, ENCODER).is_sealed
    seal(STORE, ENCODER, held.sha256)
    assert read_note_file(STORE, ENCODER).is_sealed


def test_it_is_fetched_once_and_not_much_else(bucket):
    shards(STORE, 2)
    bucket.opened.clear()
    read_note_file(STORE, ENCODER)
    assert bucket.opened == [TABLE, SEAL]


def test_another_file_in_its_place_is_not_sealed(bucket):
    shards(STORE, 3)
    held = read_note_file(STORE, ENCODER)
    write_note_file(STORE, ENCODER, held.rows(held.places == held.places[0]))
    assert not read_note_file(STORE, ENCODER).is_sealed


@pytest.mark.parametrize("what", [TABLE, SEAL])
@pytest.mark.parametrize("content", [None, b"", b"x"], ids=repr)
def test_without_it_or_with_a_damaged_one_there_is_nothing_to_rely_on(bucket, what, content):
    shards(STORE, 2)
    del bucket.objects[what]
    if content is not None:
        bucket.objects[what] = (content, bucket.now)
    held = read_note_file(STORE, ENCODER)
    assert not held.is_sealed
    assert len(held.notes) == (0 if what == TABLE else 2)


def test_on_a_disk_there_is_no_seal(tmp_path):
    store = str(tmp_path)
    paths = shards(store, 2)
    break_seal(store, ENCODER)
    before = read_note_file(store, ENCODER)
    with without(store, paths):
        pass
    held = read_note_file(store, ENCODER)
    assert (held.is_sealed, held.sha256) == (False, None)
    assert list(held.notes) == list(before.notes)
    assert [path.name for path in (tmp_path / "notes").iterdir()] == [f"{ENCODER[:16]}.parquet"]


def test_what_is_deleted_is_taken_out_and_the_seal_is_broken_for_so_long(bucket):
    first, second, third = shards(STORE, 3)
    other = shards(STORE, 2, OTHER)
    with without(STORE, [second, "indexes/0", "encoders/x", other[0], f"embeddings/{'d' * 16}/0.parquet"]):
        assert not read_note_file(STORE, ENCODER).is_sealed
        assert not read_note_file(STORE, OTHER).is_sealed
    assert (named(), named(OTHER)) == ({first, third}, {other[1]})
    held = read_note_file(STORE, ENCODER)
    assert held.is_sealed
    assert read_note_file(STORE, OTHER).is_sealed
    assert held.places.tolist() == [place_of(note_path(path)) for path in (first, third)]


def test_what_it_does_not_name_costs_no_writing(bucket):
    shards(STORE, 2)
    before = dict(bucket.objects)
    bucket.now += 1
    with without(STORE, [f"embeddings/{ENCODER[:16]}/unfinished.parquet"]):
        assert bucket.objects == before
    assert bucket.objects == before


def test_where_deleting_ends_with_an_error_it_stays_broken(bucket):
    paths = shards(STORE, 2)
    with contextlib.suppress(OSError), without(STORE, paths[:1]):
        raise OSError
    assert not read_note_file(STORE, ENCODER).is_sealed


def test_a_seal_that_was_broken_before_stays_so(bucket):
    paths = shards(STORE, 2)
    break_seal(STORE, ENCODER)
    with without(STORE, paths[:1]):
        pass
    assert not read_note_file(STORE, ENCODER).is_sealed
