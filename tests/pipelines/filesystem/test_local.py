"""Files of this machine: whole or not there, also after a power cut."""

import os
import stat
import time

import pytest

from lookalike.filesystem import files, local
from lookalike.model.errors import LookalikeError
from tests.support.fault_points import after_a_power_cut


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


@pytest.mark.parametrize(("lasting", "flushed"), [(True, ["file", "folder"]), (False, [])])
def test_what_need_not_last_is_not_flushed_to_the_disk(tmp_path, monkeypatch, lasting, flushed):
    seen = []

    def fsync(descriptor):
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_bytes(str(tmp_path / "x"), b"content", lasting=lasting)
    assert seen == flushed
    assert (tmp_path / "x").read_bytes() == b"content"


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


def write_nothing(path):
    with local.write_atomic(path):
        pass


@pytest.mark.parametrize("write", ["write_atomic", "move_in"])
def test_a_pipe_and_a_device_are_never_replaced(tmp_path, write):
    """By root, /dev/null would be a file for all from then on."""
    pipe, link, other = tmp_path / "pipe", tmp_path / "link", tmp_path / "other"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    other.write_bytes(b"")
    for place in (pipe, link):
        with pytest.raises(LookalikeError, match=r"place for a file\. Received: a device, a pipe"):
            local.move_in(str(other), str(place)) if write == "move_in" else write_nothing(str(place))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "other", "pipe"]


def test_what_a_killed_run_left_is_deleted_a_day_later(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f".table.tmp-{name}").write_bytes(b"x")
        (tmp_path / f".folder.tmp-{name}").mkdir()
        (tmp_path / f".folder.tmp-{name}" / "part").write_bytes(b"x")
    (tmp_path / ".other.tmp-old").write_bytes(b"x")
    (tmp_path / ".table.tmp-link-old").symlink_to(tmp_path / ".other.tmp-old")
    ago = time.time() - 2 * 86400
    for path in (*tmp_path.glob(".*old"), *tmp_path.glob(".*old/part"), tmp_path / ".folder.tmp-new"):
        os.utime(path, (ago, ago), follow_symlinks=False)
    for name in ("table", "folder", "nowhere/table"):
        files.delete_dead(str(tmp_path / name))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".table.tmp-new", ".folder.tmp-new", ".other.tmp-old", ".table.tmp-link-old"}


def test_a_folder_that_may_be_written_and_not_be_listed_is_written(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refused)
    files.delete_dead(str(tmp_path / "table"))
    files.delete_dead("table")
