"""A file is read only while it is the one that was listed."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from lookalike.filesystem import files
from lookalike.filesystem.files import FileInfo
from lookalike.sources.base import Shard
from lookalike.sources.opening import NotAsListedError, check_listed, open_listed
from tests.support.small_stores import Bucket


@pytest.fixture
def listed(tmp_path) -> FileInfo:
    path = tmp_path / "a.tar"
    path.write_bytes(b"content")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    return files.look(str(path))


def read(file: FileInfo) -> bytes:
    with open_listed(file) as opened:
        return opened.read()


def test_a_file_that_is_as_it_was_listed_is_read(listed):
    assert read(listed) == b"content"
    check_listed(Shard("a", "webdataset", (listed,)))


def other_content(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"CONTENT and more")


CHANGES = {
    "gone": (os.unlink, "No such file or directory"),
    "another size": (other_content, "16 bytes, changed 20"),
    "another time": (lambda path: os.utime(path, (9, 9)), "7 bytes, changed 1970-01-01T00:00:09+00:00"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_that_changed_is_named_with_this_machine_and_both_states(listed, what):
    change, found = CHANGES[what]
    change(listed.path)
    for look in (lambda: read(listed), lambda: check_listed(Shard("a", "webdataset", (listed,)))):
        with pytest.raises(NotAsListedError) as error:
            look()
        assert str(error.value).startswith(
            f"{listed.path} on {socket.gethostname()} is not as it was listed. "
            f"Expected: 7 bytes, changed 2023-11-14T22:13:20.123457+00:00. Received: {found}"
        )


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOTDIR])
def test_one_that_may_not_be_read_or_went_stale_is_not_as_listed(listed, monkeypatch, code):
    def refused(path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(files, "open_read", refused)
    with pytest.raises(NotAsListedError, match=f"Received: {os.strerror(code)}"):
        read(listed)


def test_a_file_system_that_fails_stays_an_oserror(listed, monkeypatch):
    def fails(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error", path)

    monkeypatch.setattr(files, "open_read", fails)
    with pytest.raises(OSError, match="Input/output error"):
        read(listed)


def test_what_is_replaced_while_it_is_read_is_found_by_a_look_afterwards(listed):
    with open_listed(listed) as opened:
        os.replace(listed.path, listed.path + ".old")
        other_content(listed.path)
        assert opened.read() == b"content"
    with pytest.raises(NotAsListedError, match="16 bytes"):
        check_listed(Shard("a", "webdataset", (listed,)))


@pytest.mark.parametrize("unit", [100, 1_000, 1_000_000, 1_000_000_000])
def test_a_mount_that_shows_coarser_times_shows_the_same_file(listed, unit):
    time = int(listed.modified)
    os.utime(listed.path, ns=(0, time // unit * unit))
    assert read(listed) == b"content"
    os.utime(listed.path, ns=(0, time // unit * unit + unit))
    with pytest.raises(NotAsListedError):
        read(listed)


@pytest.fixture
def bucket(monkeypatch) -> Bucket:
    return Bucket(monkeypatch)


def test_a_remote_file_is_compared_by_what_its_listing_tells_to_the_second(bucket):
    path = "gs://b/a.tar"
    bucket.objects[path] = (b"content", 1_700_000_000.75)
    [listed] = files.list_files("gs://b")
    assert read(listed) == b"content"
    for changed in ((b"content", 1_700_000_001.0), (b"longer content", 1_700_000_000.0)):
        bucket.objects[path] = changed
        with pytest.raises(NotAsListedError, match=r"Expected: 7 bytes, changed 2023-11-14T22:13:20"):
            read(listed)
    del bucket.objects[path]
    with pytest.raises(NotAsListedError, match="No such file"):
        read(listed)


@pytest.mark.parametrize("size", [7, 2 << 20])
def test_of_a_remote_file_that_is_replaced_after_it_was_compared_nothing_else_is_read(bucket, size):
    path, content = "gs://b/a.tar", bytes(size)
    bucket.objects[path] = (content, 1_700_000_000.0)
    file = FileInfo(path, size, "1700000000.0")

    def read_while_it_is_replaced() -> bytes:
        with open_listed(file) as opened:
            bucket.objects[path] = (b"1" * size, 1_700_000_000.1)
            return opened.read()

    if size == 7:  # it was had whole
        assert read_while_it_is_replaced() == content
    else:
        with pytest.raises(NotAsListedError, match="changed while it was read"):
            read_while_it_is_replaced()
    check_listed(Shard(path, "webdataset", (file,)))  # asks for nothing
