"""The simulated power cut itself: what was flushed is left, and nothing else need be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lookalike.filesystem.files import sync
from tests.support.fault_points import after_a_power_cut


@pytest.fixture
def folder(tmp_path) -> Path:
    """`old` and `below/old`, which are safe."""
    (tmp_path / "it" / "below").mkdir(parents=True)
    for name in ("old", "below/old"):
        (tmp_path / "it" / name).write_bytes(b"old")
    return tmp_path / "it"


SAFE = {"old": b"old", "below/old": b"old"}


def write(path: Path, content: bytes, *flushed: Path) -> None:
    path.write_bytes(content)
    for one in flushed:
        sync(str(one))


ACTIONS = {
    "nothing": (lambda f: None, SAFE),
    "a file without its name": (lambda f: write(f / "new", b"1234", f / "new"), SAFE),
    "a name without its content": (lambda f: write(f / "new", b"1234", f), SAFE | {"new": b"12"}),
    "a file": (lambda f: write(f / "new", b"1234", f / "new", f), SAFE | {"new": b"1234"}),
    "a deletion": (lambda f: (f / "old").unlink(), SAFE),
    "a deletion that lasts": (lambda f: ((f / "old").unlink(), sync(f)), {"below/old": b"old"}),
    "a new name": (lambda f: (f / "old").rename(f / "new"), SAFE),
    "a move, of which the target is flushed": (
        lambda f: ((f / "old").rename(f / "below/new"), sync(f / "below")),
        SAFE | {"below/new": b"old"},
    ),
    "a move, of which the source is flushed": (
        lambda f: ((f / "old").rename(f / "below/new"), sync(f)),
        {"below/old": b"old"},
    ),
    "a folder that is renamed": (
        lambda f: ((f / "below").rename(f / "beneath"), sync(f)),
        {"old": b"old", "beneath/old": b"old"},
    ),
    "a folder that is deleted": (lambda f: shutil.rmtree(f / "below"), SAFE),
    "a file in a new folder that is not flushed into its own": (
        lambda f: ((f / "new").mkdir(), write(f / "new/a", b"1234", f / "new/a", f / "new")),
        SAFE,
    ),
    "a file that is replaced": (
        lambda f: (write(f / "new", b"1234", f / "new"), os.replace(f / "new", f / "old")),
        SAFE,
    ),
}


@pytest.mark.parametrize(("action", "left"), ACTIONS.values(), ids=ACTIONS)
def test_names_are_as_they_were_when_their_folder_was_flushed(folder, action, left):
    assert after_a_power_cut(folder, lambda: action(folder)) == left


def test_some_names_that_were_not_flushed_may_be_there_all_the_same(folder):
    def act() -> None:
        write(folder / "new", b"1234", folder / "new")
        (folder / "old").unlink()

    found = []
    for seed in range(20):
        copy = Path(shutil.copytree(folder, folder.parent / f"copy{seed}"))
        found.append(frozenset(after_a_power_cut(folder, act, seed)) - {"below/old"})
        shutil.rmtree(folder)
        copy.rename(folder)
    assert set(found) == {frozenset(names) for names in ((), ("old",), ("new",), ("old", "new"))}
