"""The two passes over embedding files, on whatever runner."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from lookalike.index import ids as ids_module
from lookalike.index.checks import Checks, find_left_out, read_ids
from lookalike.index.duplicates import LeftOut, left_out
from lookalike.index.ids import Found
from lookalike.model.errors import LookalikeError
from lookalike.runner import beam
from tests.support.small_stores import SmallStore, flip


@pytest.fixture
def store(tmp_path) -> SmallStore:
    return SmallStore(tmp_path / "store")


@pytest.mark.parametrize("flags", [[], ["--runner=FnApiRunner"]])
@pytest.mark.parametrize(("most", "part"), [(1, 4_000_000), (3, 2)])
def test_both_passes_find_the_same_here_and_by_beam(store, monkeypatch, flags, most, part):
    monkeypatch.setattr(ids_module, "PART", part)
    monkeypatch.setattr(beam, "most_pieces", lambda flags: most)
    notes = [store.embed(shard) for shard in ("a0", "b0", "c0")]
    notes += [replace(notes[number], shard=f"{number}.tar") for number in (1, 0)]
    checks = Checks(store.path, f"{store.path}/runs/r", 10, ("width", "title"))
    assert read_ids(checks, notes, flags) == Found((), frozenset({"width"}))
    folder = find_left_out(checks, pa.array(["a0-1", "c0-0", "none"]), flags)
    assert list(left_out(folder)) == [
        LeftOut(0, "a0-1", None, True),
        LeftOut(2, "c0-0", None, True),
        LeftOut(3, "b0-0", 1, False),
        LeftOut(3, "b0-1", 1, False),
        LeftOut(4, "a0-0", 0, False),
        LeftOut(4, "a0-1", 0, True),
    ]


def test_of_what_need_not_be_checked_only_the_ids_are_read(store):
    notes = [store.embed(shard) for shard in ("a0", "b0")]
    for note in notes:
        flip(store.root / note.rejects_path, 40)
    checks = Checks(store.path, f"{store.path}/runs/r", 4, (), {notes[0].path})
    assert read_ids(checks, notes).damaged == (notes[1].rejects_path,)


@pytest.mark.parametrize("flags", [[], ["--runner=FnApiRunner"]])
def test_a_worker_that_cannot_read_says_so_in_a_sentence(store, flags):
    note = store.embed("a0")
    (store.root / note.path).unlink()
    checks = Checks(store.path, f"{store.path}/runs/r", 2, ())
    with pytest.raises(LookalikeError, match=f"No such file or directory: .*{note.path}"):
        read_ids(checks, [note], flags)
