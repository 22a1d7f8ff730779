"""Files of this machine: whole or not there, listed without what is unfinished. S3 is in test_s3.py."""

import errno
import gc
import hashlib
import io
import os

import pytest

from lookalike.filesystem import files
from lookalike.filesystem.files import TEMPORARY
from lookalike.model.errors import LookalikeError
from tests.support.fault_points import after_a_power_cut
from tests.support.small_stores import Bucket

ABC = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    bucket = Bucket()
    monkeypatch.setattr(files, "_beam", lambda: bucket)
    return bucket


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("a/b", False),
        ("/a", False),
        ("s3://b/a", True),
        ("GS://b/a", True),
        ("file:///a", False),
        ("a://b", True),
    ],
)
def test_a_url_is_remote_unless_it_is_of_this_machine(path, remote):
    assert files.is_remote(path) == remote


def test_parts_are_joined_by_one_slash_in_a_url():
    assert files.join("s3://b/store/", "a", "b") == "s3://b/store/a/b"
    assert files.join("file:///store", "a") == "/store/a"


def test_what_is_written_is_read_again_and_replaces_what_was_there(tmp_path):
    path = str(tmp_path / "new" / "file")
    for content in (b"one", b"two"):
        files.write_bytes(path, content)
        assert files.read_bytes(path) == files.read_bytes(f"file://{path}") == content
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["file"]


def test_an_error_while_writing_leaves_the_file_of_before_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def break_off() -> None:
        with files.write_atomic(str(path)) as file:
            file.write(b"half")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        break_off()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_unfinished_files_are_not_listed_and_the_rest_is_sorted(tmp_path):
    for name in ("b", "a/z", f"a/of-theirs{TEMPORARY}1", f".a{TEMPORARY}1", f"a/.y{TEMPORARY}2"):
        files.write_bytes(str(tmp_path / name), b"xy")
    listed = files.list_files(str(tmp_path))
    assert [os.path.relpath(file.path, tmp_path) for file in listed] == [
        f"a/of-theirs{TEMPORARY}1",
        "a/z",
        "b",
    ]
    assert {file.size for file in listed} == {2}
    assert files.list_files(str(tmp_path / "nowhere")) == []


def test_a_glob_and_a_brace_list_give_each_file_once_in_order(tmp_path):
    for name in ("x-1", "x-2", "x-3", "y"):
        (tmp_path / name).touch()
    found = [os.path.basename(file.path) for file in files.glob(f"{tmp_path}/{{x-[23],x-*,y}}")]
    assert found == ["x-1", "x-2", "x-3", "y"]
    with pytest.raises(LookalikeError, match="z-9"):
        files.glob(f"{tmp_path}/{{y,z-9}}")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", ["a"]),
        ("a{1,3}b", ["a1b", "a3b"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{3..1}", ["3", "2", "1"]),
    ],
)
def test_braces_are_written_out_as_a_shell_does(pattern, expected):
    assert files.expand_braces(pattern) == expected


def test_a_finished_folder_takes_the_place_of_what_an_interrupted_run_left(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "manifest.json").write_text("new")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "half").touch()
    files.move_folder_in(str(tmp_path / "made"), str(tmp_path / "target"), last="manifest.json")
    assert os.listdir(tmp_path) == ["target"]
    assert os.listdir(tmp_path / "target") == ["manifest.json"]


def test_of_a_folder_on_a_url_the_last_file_comes_last(tmp_path, bucket):
    for name in ("a", "manifest.json", "z"):
        (tmp_path / name).write_text(name)
    files.move_folder_in(str(tmp_path), "mem://b/index", last="manifest.json")
    assert list(bucket.objects)[-1] == "mem://b/index/manifest.json"
    assert set(bucket.objects) == {f"mem://b/index/{name}" for name in ("a", "z", "manifest.json")}


def test_files_and_folders_are_deleted_and_what_is_gone_is_no_error(tmp_path, bucket):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    bucket.objects = {f"mem://b/{name}": (b"", 0) for name in ("a", "a/x", "ab")}
    files.delete([str(tmp_path / "folder"), str(tmp_path / "file"), str(tmp_path / "gone"), "mem://b/a"])
    assert os.listdir(tmp_path) == []
    assert list(bucket.objects) == ["mem://b/ab"]


def test_a_file_that_is_not_what_its_digest_says_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.sha256(str(tmp_path / "file")) == files.sha256_bytes(b"abc") == ABC
    files.check_digest("some/file", b"abc", ABC)
    with pytest.raises(LookalikeError, match=f"some/file should have SHA-256 {ABC}"):
        files.check_digest("some/file", b"abd", ABC)


def test_what_a_file_system_reports_is_one_sentence():
    error = OSError(errno.ENOSPC, "No space left on device", "out/results.parquet")
    assert files.reason(error) == "No space left on device: out/results.parquet"
    assert files.reason(OSError("odd")) == "odd"


def test_two_writers_of_one_file_with_the_same_process_number_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path = str(tmp_path / "x")
    with files.write_atomic(path) as first:
        first.write(b"first, which ends last")
        with files.write_atomic(path) as second:
            second.write(b"second")
        assert files.read_bytes(path) == b"second"
    assert files.read_bytes(path) == b"first, which ends last"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("there", [None, b"", b"ab", b"abd", b"abcd", b"x" * (1 << 20) + b"y"])
def test_a_file_of_the_same_bytes_keeps_its_time_of_change(tmp_path, there):
    path = tmp_path / "file"
    for content in (b"abc", b"x" * (1 << 20)):
        path.unlink(missing_ok=True)
        if there is not None:
            path.write_bytes(there)
            os.utime(path, (1, 1))
        assert files.write_if_changed(str(path), lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
        os.utime(path, (1, 1))
        assert not files.write_if_changed(str(path), lambda file, content=content: file.write(content))
        assert (path.read_bytes(), path.stat().st_mtime) == (content, 1)
        assert os.listdir(tmp_path) == ["file"]


def a_file(folder, content: bytes = b"new") -> str:
    path = folder / "unfinished"
    path.write_bytes(content)
    return str(path)


def a_folder(folder) -> str:
    made = folder / "unfinished"
    made.mkdir()
    for name in ("data", "last"):
        with open(made / name, "wb") as file:
            file.write(b"new")
            file.flush()
            os.fsync(file.fileno())
    files.sync(str(made))
    return str(made)


WRITTEN = {
    "a file": (lambda store: files.write_bytes(f"{store}/there", b"new"), {"there": b"new"}),
    "a file in new folders": (
        lambda store: files.write_bytes(f"{store}/a/b/new", b"new"),
        {"there": b"old", "a/b/new": b"new"},
    ),
    "a file that is moved in": (
        lambda store: files.move_in(a_file(store), f"{store}/there"),
        {"there": b"new"},
    ),
    "a folder that is moved in": (
        lambda store: files.move_folder_in(a_folder(store), f"{store}/made", "last"),
        {"there": b"old", "made/data": b"new", "made/last": b"new"},
    ),
}


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize(("write", "left"), WRITTEN.values(), ids=WRITTEN)
def test_what_was_written_is_still_there_after_a_power_cut(tmp_path, write, left, seed):
    (store := tmp_path / "store").mkdir()
    (store / "there").write_bytes(b"old")
    assert after_a_power_cut(store, lambda: write(store), seed) == left


def test_a_folder_that_is_written_is_made_below_folders_that_last(tmp_path):
    (store := tmp_path / "store").mkdir()

    def write() -> None:
        with files.write_folder(f"{store}/indexes/one", "last") as folder:
            for name in ("data", "last"):
                files.write_bytes(os.path.join(folder, name), b"new")

    assert after_a_power_cut(store, write) == {"indexes/one/data": b"new", "indexes/one/last": b"new"}


def test_others_may_read_what_was_moved_in(tmp_path):
    (made := tmp_path / "made").mkdir(mode=0o700)
    (file := tmp_path / "file").touch(mode=0o600)
    files.move_folder_in(str(made), str(tmp_path / "folder"), "last")
    files.move_in(str(file), str(tmp_path / "moved"))
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "moved").stat().st_mode & 0o777 == 0o644


class GoogleError(Exception):
    """As google.api_core.exceptions.Forbidden: no OSError."""


class Blobs:
    """Beam's file system for gs://, whose writer is no wrapper of another file."""

    def __init__(self, at: str) -> None:
        self.at, self.done = at, []

    def create(self, path):
        fails = self.at

        class Writer(io.BufferedIOBase):
            def __init__(self):
                self._buffer = io.BytesIO()

            def write(self, data):
                if fails == "write":
                    raise GoogleError("403 no\npermission")
                return self._buffer.write(data)

            @property
            def closed(self):
                return self._buffer.closed

            def close(writer):
                if not writer.closed:
                    if fails == "close":
                        raise GoogleError("403 no\npermission")
                    self.done.append(path)
                    writer._buffer.close()

        if fails == "create":
            raise GoogleError("403 no\npermission")
        return Writer()

    def open(self, path, **_):
        class Reader(io.RawIOBase):
            def read(self, size=-1):
                raise GoogleError("403 no\npermission")

        return Reader()


@pytest.mark.parametrize("at", ["create", "write", "close"])
def test_an_upload_that_fails_is_one_sentence_and_is_not_completed(monkeypatch, at):
    blobs = Blobs(at)
    monkeypatch.setattr(files, "_beam", lambda: blobs)
    with pytest.raises(OSError, match="403") as error:
        files.write_bytes("gs://bucket/some", b"x")
    assert files.reason(error.value) == "GoogleError: 403 no permission: gs://bucket/some"
    gc.collect()
    assert blobs.done == []


def test_reading_that_fails_is_one_sentence(monkeypatch):
    monkeypatch.setattr(files, "_beam", lambda: Blobs(""))
    with files.open_read("gs://bucket/some") as file, pytest.raises(OSError, match="403") as error:
        file.read()
    assert files.reason(error.value) == "GoogleError: 403 no permission: gs://bucket/some"
