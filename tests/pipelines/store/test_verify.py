"""Verifying finds every change to every file, and every count that does not add up."""

import dataclasses
import json
import shutil

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store.generation import publish, read_current, read_generation, write_shards
from lookalike.store.generations import served_notes
from lookalike.store.verify import verify
from tests.pipelines.store.test_kept import table, write
from tests.support.small_stores import ENCODER, SmallStore, flip


@pytest.fixture
def small(tmp_path) -> SmallStore:
    small = SmallStore(tmp_path / "store")
    small.publish(0, ["a0"])
    small.publish(1, ["a1"])
    write(small.path, table())
    return small


def test_a_whole_store_has_no_problems(small):
    assert verify(small.path) == []
    assert verify(small.path, small.current) == []


def test_an_empty_store_has_no_problems(tmp_path):
    assert verify(str(tmp_path)) == []


def test_a_flipped_byte_anywhere_is_found_and_its_file_named(small):
    for name in sorted(small.files):
        if name.endswith(("duplicates.parquet", ".json")) and not name.endswith("manifest.json"):
            continue
        path = small.root / name
        size = path.stat().st_size
        for at in sorted({0, size - 1, *range(0, size, max(1, size // 5))}):
            before = flip(path, at)
            problems = verify(small.path)
            assert problems, (name, at)
            if name != "CURRENT" and not name.endswith("sha256"):
                assert any(name in problem for problem in problems), (name, at, problems)
            path.write_bytes(before)
    assert verify(small.path) == []


def test_every_byte_of_current_is_checked(small):
    path = small.root / "CURRENT"
    for at in range(path.stat().st_size):
        before = flip(path, at)
        assert verify(small.path), at
        path.write_bytes(before)


def test_every_missing_file_is_found_and_named(small):
    for name in sorted(small.files):
        if name.endswith((".sha256", f"kept/{ENCODER[:16]}.arrow")):  # without it nothing is kept
            continue
        path = small.root / name
        before = path.read_bytes()
        path.unlink()
        problems = verify(small.path)
        generation = name.split("/")[1] if name.endswith("manifest.json") and "generations" in name else name
        if generation == name or generation == small.current:
            assert any(generation in problem for problem in problems), (name, problems)
        path.write_bytes(before)


def test_a_file_that_two_generations_share_is_one_problem(small):
    small.publish(2, ["a1"])
    note = served_notes(small.path, read_current(small.path))[0]
    flip(small.root / note.path, 9)
    (problem,) = verify(small.path)
    assert problem.startswith(f"{small.path}/{note.path} is damaged: expected SHA-256 {note.sha256}")


def test_a_strange_file_in_an_index_is_found(small):
    folder = read_current(small.path).indexes[0].path
    (small.root / folder / "docids.pkl").write_bytes(b"1")
    assert verify(small.path) == [f"{small.path}/{folder}/docids.pkl is in no manifest"]


def test_one_generation_is_verified_alone(small):
    first, second = sorted(path.name for path in (small.root / "generations").iterdir())
    flip(small.root / served_notes(small.path, read_generation(small.path, first))[0].path, 9)
    assert len(verify(small.path, first)) == 1
    assert verify(small.path, second) == []
    with pytest.raises(LookalikeError, match="Expected the name of a generation"):
        verify(small.path, "nonsense")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"counts": {"read": 5}}, "expected read of 4. Received: 5"),
        ({"counts": {"items": 3}}, "expected 2 items, as in its index. Received: 3"),
        ({"duplicates": 1}, "expected 1 rows. Received: 0"),
        ({"shards": {"embedded": 1, "rejected": 2}}, "expected 1 rows. Received: 2"),
        ({"shards": {"embedded": 1}}, "expected 1 rows. Received: 2"),
        ({"shards": {"read": 5}}, "do not add up"),
        ({"indexes": {"count": 7}}, "expected 7 vectors. Received: 2"),
    ],
)
@pytest.mark.parametrize("place", ["before", "behind"])
def test_counts_that_do_not_reconcile_are_found_whatever_generations_share_the_files(
    small, change, said, place
):
    generation = read_current(small.path)
    (key, value), *_ = change.items()
    if key == "counts":
        value = {**generation.counts, **value}
    name = generation.name[:-1] if place == "before" else generation.name + "0"
    shutil.copytree(small.root / "generations" / generation.name, small.root / "generations" / name)
    if key == "shards":
        notes = [dataclasses.replace(one, **value) for one in served_notes(small.path, generation)]
        value = write_shards(small.path, name, notes)
    elif key == "indexes":
        value = tuple(dataclasses.replace(one, **value) for one in generation.indexes)
    changed = dataclasses.replace(generation, name=name, **{key: value})
    publish(small.path, changed)
    assert any(said in problem for problem in verify(small.path))


def test_a_note_that_was_written_again_for_a_touched_shard_is_no_problem(small):
    note = served_notes(small.path, read_current(small.path))[0]
    path = small.root / note.path.replace(".parquet", ".json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "token": "2", "embedded": 0, "reused": 2}))
    assert verify(small.path) == []
    path.write_text(json.dumps({**content, "sha256": "0" * 64}))
    assert verify(small.path) == [f"{path} differs from the generation's manifest: sha256"]
    path.write_text("[]")
    assert verify(small.path) == [
        f"{path} is not a finished shard's note; delete it to have the shard embedded again"
    ]


def test_a_lost_current_is_found(small):
    (small.root / "CURRENT").unlink()
    (problem,) = verify(small.path)
    assert "no generation is served" in problem


def test_an_index_shard_with_an_addition_is_checked_with_all_that_is_hidden(small):
    grown = small.publish(2, ["a1", "b0"], before=["a0", "a1"])
    assert verify(small.path) == []
    base, addition = grown.indexes
    path = small.root / addition.path / "hidden.npy"
    before = flip(path, path.stat().st_size - 1)
    assert any("hidden.npy" in problem for problem in verify(small.path, grown.name))
    path.write_bytes(before)
    wrong = dataclasses.replace(base, hidden=dataclasses.replace(base.hidden, count=1))
    publish(small.path, dataclasses.replace(grown, indexes=(wrong, addition)))
    problems = verify(small.path, grown.name)
    assert any("expected 1 hidden rows. Received: 2" in problem for problem in problems)
    assert any("expected 3 vectors. Received: 4" in problem for problem in problems)
