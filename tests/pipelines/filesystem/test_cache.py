"""The cache of remote folders: fetched once, never believed after a change, and not growing for ever."""

import os
import time
from pathlib import Path

import pytest

from lookalike.filesystem import cache, files
from lookalike.filesystem.cache import UNUSED_DAYS
from lookalike.model.errors import LookalikeError
from tests.support.small_stores import Bucket

FOLDER = "mem://bucket/indexes/a"


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Bucket:
    """Holds a folder of two files; `opened` names what was read."""
    bucket = Bucket(monkeypatch)
    bucket.objects = {f"{FOLDER}/x": (b"xx", 0), f"{FOLDER}/y": (b"yy", 0), f"{FOLDER}b/z": (b"z", 0)}
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    return bucket


def linked(path: Path) -> None:
    """Puts a link in its place to itself, elsewhere."""
    beside = next(parent for parent in path.parents if parent.name == "cache").parent
    elsewhere = path.rename(beside / "elsewhere")
    path.symlink_to(elsewhere)


def held(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_folder_is_fetched_once(bucket):
    first = cache.local_copy(FOLDER, "d1")
    assert held(first) == {"x": b"xx", "y": b"yy"}
    assert cache.local_copy(FOLDER, "d1") == first
    assert len(bucket.opened) == 2


def test_a_local_folder_is_its_own_copy(bucket, tmp_path):
    assert cache.local_copy(str(tmp_path), "d1") == str(tmp_path)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: (copy / "x").write_bytes(b"x"),
        lambda copy: (copy / "x").write_bytes(b"zz"),
        lambda copy: (copy / "x").unlink(),
        lambda copy: (copy / "z").write_bytes(b""),
        lambda copy: (copy.parent / "state.json").unlink(),
        lambda copy: (copy.parent / "state.json").write_bytes(b"[[" * 9),
        lambda copy: (copy.parent / "state.json").write_bytes(b"[" * 99_999),
        lambda copy: (copy / "x").chmod(0o666),
        lambda copy: copy.chmod(0o777),
        lambda copy: copy.parent.chmod(0o775),
        lambda copy: linked(copy / "x"),
        lambda copy: linked(copy),
        lambda copy: linked(copy.parent),
    ],
    ids=[
        *("cut", "changed", "missing", "added", "no state", "damaged state", "deep state"),
        *(
            "file of others",
            "copy of others",
            "entry of others",
            "linked file",
            "linked copy",
            "linked entry",
        ),
    ],
)
def test_a_copy_that_was_changed_is_fetched_again(bucket, damage):
    damage(Path(cache.local_copy(FOLDER, "d1")))
    assert held(cache.local_copy(FOLDER, "d1")) == {"x": b"xx", "y": b"yy"}
    assert len(bucket.opened) == 4


def test_a_copy_that_cannot_be_finished_leaves_nothing(bucket, tmp_path, monkeypatch):
    listed = files.list_files(FOLDER)
    del bucket.objects[f"{FOLDER}/y"]
    monkeypatch.setattr(files, "list_files", lambda folder: listed)
    with pytest.raises(FileNotFoundError):
        cache.local_copy(FOLDER, "d1")
    assert os.listdir(tmp_path / "cache") == []


def test_what_nobody_asked_for_in_a_while_is_deleted_when_another_is_fetched(bucket, tmp_path):
    folder = tmp_path / "cache"
    for digest in ("unused", "used", "lately"):
        cache.local_copy(FOLDER, digest)
    (folder / ".lookalike-killed" / "new").mkdir(parents=True)
    (folder / ".lookalike-settings").mkdir()
    (folder / ".lookalike-settings" / "mine.txt").touch()
    old = time.time() - (UNUSED_DAYS + 1) * 86400
    for path in (folder / "unused" / "state.json", folder / "used" / "state.json", *folder.iterdir()):
        os.utime(path, (old, old))
    lately = time.time() - (UNUSED_DAYS - 1) * 86400
    os.utime(folder / "lately" / "state.json", (lately, lately))
    cache.local_copy(FOLDER, "used")
    cache.local_copy(FOLDER, "new")
    assert sorted(os.listdir(folder)) == [".lookalike-settings", "lately", "new", "used"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"photo.jpg": "x"},
        {"state.json": "[]"},
        {"state.json": "{}", "copy/x": "x"},
        {"state.json": "[]", "copy/x": "", "more": ""},
    ],
    ids=str,
)
def test_what_others_keep_in_that_folder_is_let_alone_however_old(bucket, tmp_path, content):
    mine = tmp_path / "cache" / "mine"
    for name, text in content.items():
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(text)
    mine.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "notes.txt").write_text("")
    old = time.time() - (UNUSED_DAYS + 1) * 86400
    for path in (*mine.rglob("*"), mine, tmp_path / "cache" / "notes.txt"):
        os.utime(path, (old, old))
    cache.local_copy(FOLDER, "new")
    assert sorted(os.listdir(tmp_path / "cache")) == ["mine", "new", "notes.txt"]
    assert {str(p.relative_to(mine)) for p in mine.rglob("*") if p.is_file()} == set(content)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o770, 0o702])
def test_a_cache_that_others_may_write_is_refused(bucket, tmp_path, mode):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    with pytest.raises(LookalikeError, match=r"cache; others may write it\. `chmod go-w` it"):
        cache.local_copy(FOLDER, "d1")
    assert bucket.opened == []


def test_a_cache_of_somebody_else_is_refused_although_it_holds_the_copy(bucket, monkeypatch):
    cache.local_copy(FOLDER, "d1")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(LookalikeError, match="it belongs to user"):
        cache.local_copy(FOLDER, "d1")


def test_what_is_cached_is_for_this_user_alone_whatever_the_umask(bucket, tmp_path):
    before = os.umask(0)
    try:
        copy = Path(cache.local_copy(FOLDER, "d1"))
    finally:
        os.umask(before)
    for path in (tmp_path / "cache", copy.parent, copy, *copy.iterdir(), copy.parent / "state.json"):
        assert not path.stat().st_mode & 0o022, path
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert cache.local_copy(FOLDER, "d1") == str(copy)
    assert len(bucket.opened) == 2
