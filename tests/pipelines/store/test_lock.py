"""One writer on a store: the second is told who the first is, and a dead one never blocks."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.store import lease, lock
from lookalike.store.holder import parse_holder
from lookalike.store.lock import briefly, hold
from tests.support.places import ROOT

HOLD = (
    "import sys; from lookalike.store.lock import hold\n"
    "with hold(sys.argv[1], 'nightly'): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of the store `tmp_path / 'store'`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "store")]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "store")


def test_the_second_run_refuses_and_names_the_holder(other, path):
    with pytest.raises(LookalikeError) as refused, hold(path, "nightly"):
        pass
    for part in (f"process {other.pid}", "lookalike nightly on host", os.uname().nodename, "since 20"):
        assert part in str(refused.value)
    other.communicate("")
    with hold(path, "nightly"):
        pass


def test_a_killed_holders_lock_is_taken_over_at_once_and_logged(other, path, caplog):
    other.send_signal(signal.SIGKILL)
    other.wait()
    with caplog.at_level(logging.WARNING), hold(path, "nightly"):
        assert parse_holder(Path(path, "LOCK").read_bytes()).pid == os.getpid()
    (line,) = [r.getMessage() for r in caplog.records]
    assert "left by a run that died" in line
    assert f"process {other.pid}" in line


def test_a_lock_is_let_go_when_the_block_ends_and_nothing_is_logged(path, caplog):
    for _ in range(2):
        with hold(path, "nightly") as check:
            check()
            holder = json.loads(Path(path, "LOCK").read_text())
            assert (holder["what"], holder["pid"]) == ("nightly", os.getpid())
        assert Path(path, "LOCK").read_bytes() == b""
    with pytest.raises(KeyError), hold(path, "nightly"):
        raise KeyError
    assert Path(path, "LOCK").read_bytes() == b""
    assert not caplog.records


def test_one_process_cannot_hold_it_twice(path):
    with hold(path, "nightly"), pytest.raises(LookalikeError, match="lookalike nightly"), hold(path, "index"):
        pass


def test_what_a_killed_process_started_does_not_keep_the_lock(tmp_path, path):
    # One child by exec, as Beam starts workers, and one by fork alone; both outlive the holder.
    script = (
        "import os, subprocess, sys, time; from lookalike.store.lock import hold\n"
        "with hold(sys.argv[1], 'nightly'):\n"
        "  a = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid\n"
        "  b = os.fork()\n"
        "  if not b: os.close(1); time.sleep(60); os._exit(0)\n"
        "  print(a, b, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    children = [int(pid) for pid in done.stdout.split()]
    try:
        assert done.returncode == -signal.SIGKILL
        for pid in children:
            os.kill(pid, 0)
        with hold(path, "nightly"):
            pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_a_deleted_lock_file_is_noticed_before_publishing(path):
    with hold(path, "nightly") as check:
        os.unlink(Path(path, "LOCK"))
        with pytest.raises(LookalikeError, match="was deleted"):
            check()


def test_an_unreadable_lock_file_does_not_hide_that_it_is_held(path):
    with hold(path, "nightly"):
        Path(path, "LOCK").write_bytes(b"{")
        with pytest.raises(LookalikeError, match="another process holds"), hold(path, "nightly"):
            pass


def test_a_file_system_without_locks_is_refused(path, monkeypatch):
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with pytest.raises(LookalikeError, match="a file system with locks"), hold(path, "nightly"):
        pass


def test_brief_changes_wait_for_each_other(tmp_path):
    script = (
        "import sys; from lookalike.store.lock import briefly\n"
        "for _ in range(50):\n"
        "  with briefly(sys.argv[1] + '/x.lock', 'exclude add'):\n"
        "    n = int(open(sys.argv[1] + '/n').read()); open(sys.argv[1] + '/n', 'w').write(str(n + 1))\n"
    )
    (tmp_path / "n").write_text("0")
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / "n").read_text() == "100"
    with briefly(str(tmp_path / "x.lock"), "exclude add"):
        pass


def test_behind_a_url_a_brief_change_waits_for_minutes_and_a_run_does_not(monkeypatch):
    waits = []

    @contextlib.contextmanager
    def kept(_, patient: bool = False):
        waits.append(patient)
        yield

    monkeypatch.setattr(lease.Lease, "kept", kept)
    with briefly("s3://bucket/x.lock", "exclude add"), hold("s3://bucket", "nightly"):
        assert waits == [True, False]


def test_a_lock_whose_file_is_replaced_while_one_waits_is_not_had(tmp_path, monkeypatch):
    path = tmp_path / "LOCK"

    def replaced_meanwhile(descriptor, operation):
        (tmp_path / "other").touch()
        os.replace(tmp_path / "other", path)

    monkeypatch.setattr(lock.fcntl, "flock", replaced_meanwhile)
    with pytest.raises(FileNotFoundError, match="Replaced"), lock.flocked(str(path), lock.fcntl.LOCK_EX):
        pass


def test_nothing_of_an_earlier_holder_is_left_in_the_lock(path):
    Path(path).mkdir()
    Path(path, "LOCK").write_text('{"what": "' + "x" * 2000 + '"}')
    with hold(path, "nightly"):
        assert parse_holder(Path(path, "LOCK").read_bytes()).what == "nightly"


def test_a_fork_that_leaves_the_block_leaves_the_lock_as_it_is(path):
    with contextlib.ExitStack() as held:
        held.enter_context(hold(path, "nightly"))
        if not (child := os.fork()):
            code = 1
            with contextlib.suppress(BaseException):
                held.close()
                code = 0
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert parse_holder(Path(path, "LOCK").read_bytes()).pid == os.getpid()
