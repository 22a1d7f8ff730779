"""Files of this machine: whole or not there, listed without what is unfinished. S3 is in test_s3.py."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from lookalike.filesystem import files
from lookalike.filesystem.files import TEMPORARY
from lookalike.model.errors import LookalikeError
from tests.support.small_stores import Bucket

ABC = hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    return Bucket(monkeypatch)


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


def test_many_files_are_read_in_order_some_at_a_time(server, tmp_path):
    bucket = server.make_bucket()
    urls = [f"s3://{bucket}/{number:03}" for number in range(100)]
    for number, url in enumerate(urls):
        files.write_bytes(url, b"%d" % number)
    (tmp_path / "x").write_bytes(b"local")
    server.reset()
    assert list(files.read_many([*urls, str(tmp_path / "x")])) == [*(b"%d" % n for n in range(100)), b"local"]
    assert server.kinds() == {"GET": 100}
    server.reset()
    read = files.read_many(iter(urls))
    assert [next(read), next(read)] == [b"0", b"1"]
    read.close()
    assert len(server.seen) <= 2 * files._AT_ONCE + 2
    read = files.read_many([urls[0], f"s3://{bucket}/gone", urls[1]])
    assert next(read) == b"0"
    with pytest.raises(FileNotFoundError, match="gone"):
        next(read)


def test_a_folder_that_another_process_finished_first_stays_as_it_is(tmp_path):
    target = tmp_path / "folder"
    with files.write_folder(str(target), "last", (target / "last").exists) as mine:
        Path(mine, "last").write_text("mine")
        target.mkdir()
        (target / "last").write_text("of the other")
    assert (target / "last").read_text() == "of the other"
    assert list(tmp_path.iterdir()) == [target]
