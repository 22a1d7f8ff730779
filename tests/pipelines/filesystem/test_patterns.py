"""What paths, globs and brace lists name; on object stores, in how many requests."""

import os

import pytest

from lookalike.filesystem import files
from lookalike.model.errors import LookalikeError
from tests.support.small_stores import Bucket


def names(found) -> list[str]:
    return [os.path.basename(file.path) for file in found]


def test_a_glob_and_a_brace_list_give_each_file_once_in_order(tmp_path):
    for name in ("x-1", "x-2", "x-3", "y"):
        (tmp_path / name).touch()
    assert names(files.glob(f"{tmp_path}/{{x-[23],x-*,y}}")) == ["x-1", "x-2", "x-3", "y"]
    with pytest.raises(LookalikeError, match="z-9"):
        files.glob(f"{tmp_path}/{{y,z-9}}")


def test_a_path_that_is_there_is_no_pattern(tmp_path):
    for name in ("a[1].tar", "a1.tar"):
        (tmp_path / name).touch()
    assert [file.path for file in files.glob(f"{tmp_path}/a[1].tar")] == [f"{tmp_path}/a[1].tar"]


def test_so_it_is_on_an_object_store(monkeypatch):
    bucket = Bucket(monkeypatch)
    bucket.objects = {
        f"mem://b/a/{name}": (b"", 0) for name in ("x-1", "x-2", "x-3", "y", "x-4/deep", ".y.tmp-1")
    }
    assert names(files.glob("mem://b/a/{x-[23],x-*,y}")) == ["x-1", "x-2", "x-3", "y"]
    for pattern, missing in (("{y,z-9}", "z-9"), ("x-4", "x-4"), ("z*", "z*"), (".y.tmp-1", ".y.tmp-1")):
        with pytest.raises(LookalikeError, match=f"Received: mem://b/a/{missing}".replace("*", r"\*")):
            files.glob(f"mem://b/a/{pattern}")


def test_of_many_local_paths_it_is_told_which_are_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    paths = [str(tmp_path / name) for name in "abc"]
    assert [(one.path, one.is_folder) for one in files.look_many(paths)] == list(
        zip(paths, (True, False, False), strict=True)
    )


def test_of_many_paths_each_keeps_its_place(monkeypatch, tmp_path):
    bucket = Bucket(monkeypatch)
    bucket.objects = {"mem://b/x": (b"12", 0), "mem://b/d/y": (b"", 0)}
    found = list(
        files.look_many(["mem://b/*", "mem://b/x", str(tmp_path), "mem://b/d", "mem://b/z", "mem://b"])
    )
    assert [(one.file.size if one.file else None, one.is_folder) for one in found] == [
        (None, False), (2, False), (None, True), (None, True), (None, False), (None, True),
    ]  # fmt: skip
