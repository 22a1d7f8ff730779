"""Beam's portable protocol, on the job server that comes with Beam for Python: work is done, errors are sentences."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.runner import job_server
from lookalike.runner.beam import run_each
from lookalike.runner.work_list import WorkList, write_work_list
from tests.support.dask_processes import ENDS_WITH_PARENT
from tests.support.pieces import begun_and_slow, failing, slow, write_down
from tests.support.places import ROOT

HERE = f"(on {socket.gethostname()})"


@contextlib.contextmanager
def process(module: str, port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server of Beam's while the block runs, when it listens."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [*ENDS_WITH_PARENT, sys.executable, "-m", module, *arguments],
        # The pool starts its workers by the name of `python`.
        env=os.environ
        | {
            "PYTHONPATH": path,
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                break
            assert child.poll() is None
            time.sleep(0.1)
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def stop_when_begun(server: subprocess.Popen[bytes], folder: Path) -> None:
    while not (folder / "begun").exists():
        time.sleep(0.05)
    server.send_signal(signal.SIGSTOP)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server():
    port = free_port()
    with process("apache_beam.runners.portability.local_job_service_main", port, "-p", str(port)):
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]


@pytest.fixture(scope="module")
def pool():
    port = free_port()
    with process("apache_beam.runners.worker.worker_pool_main", port, f"--service_port={port}"):
        yield ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]


@pytest.fixture(params=["EXTERNAL", "LOOPBACK"])
def flags(request, server, pool):
    return [*server, *(pool if request.param == "EXTERNAL" else ["--environment_type=LOOPBACK"])]


@pytest.mark.slow
def test_every_element_is_worked_on(flags, tmp_path):
    run_each(
        "Write", partial(write_down, tmp_path), write_work_list(str(tmp_path / "w"), range(6), 6, int), flags
    )
    assert sorted(path.name for path in tmp_path.glob("done-*")) == [f"done-{n}" for n in range(6)]


@pytest.mark.slow
def test_an_error_of_a_worker_is_its_sentence_and_nothing_else(flags, tmp_path, capfd, caplog):
    work = write_work_list(str(tmp_path / "w"), range(6), 6, int)
    capfd.readouterr()
    with pytest.raises(LookalikeError) as error:
        run_each("Fail", partial(failing, LookalikeError("Expected this. Received: that")), work, flags)
    assert str(error.value) == f"Expected this. Received: that {HERE}"
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.slow
def test_workers_that_do_not_see_the_store_say_so(flags, tmp_path):
    with pytest.raises(
        LookalikeError, match=r"Expected every worker to see the store\. Received: no /.* on "
    ):
        run_each("Write", partial(write_down, tmp_path), WorkList(str(tmp_path / "none"), 3, int), flags)


@pytest.mark.slow
def test_a_server_that_goes_away_in_the_middle_is_told_of(tmp_path):
    port = free_port()
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
    with process("apache_beam.runners.portability.local_job_service_main", port, "-p", str(port)) as server:
        threading.Timer(6, server.kill).start()
        with pytest.raises(LookalikeError, match=rf"The job server at localhost:{port} was lost: "):
            run_each("Wait", slow, write_work_list(str(tmp_path), range(6), 6, int), flags)


@pytest.mark.slow
def test_a_server_that_hangs_is_told_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(job_server, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(job_server, "LOOK_SECONDS", 1)
    port = free_port()
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
    with process("apache_beam.runners.portability.local_job_service_main", port, "-p", str(port)) as server:
        threading.Thread(target=stop_when_begun, args=(server, tmp_path), daemon=True).start()
        work = write_work_list(str(tmp_path / "w"), range(6), 6, int)
        with pytest.raises(
            LookalikeError, match=rf"The job server at localhost:{port} was lost: it answers no more"
        ):
            run_each("Wait", partial(begun_and_slow, tmp_path), work, flags)
    assert f"the job server at localhost:{port} does not answer" in caplog.text


def test_a_worker_pool_that_is_not_there_is_told_of(caplog):
    port = free_port()
    with socket.create_server(("localhost", port)):
        job_server.warn_of_no_pool(f"localhost:{port}")
    assert not caplog.text
    job_server.warn_of_no_pool(f"localhost:{port}")
    assert f"nothing listens at localhost:{port}, where the job server is to find its workers" in caplog.text


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(job_server, "ANSWER_SECONDS", 2)
    work = write_work_list(str(tmp_path / "w"), range(6), 6, int)
    port = free_port()
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
    with pytest.raises(
        LookalikeError, match=rf"Expected a job server of Beam at localhost:{port}\. .*no answer"
    ):
        run_each("Wait", slow, work, flags)


def test_a_portable_runner_without_a_server_is_a_sentence(tmp_path):
    with pytest.raises(LookalikeError, match=r"PortableRunner cannot be used: .*--job_endpoint"):
        run_each("Wait", slow, write_work_list(str(tmp_path), range(1), 1, int), ["--runner=PortableRunner"])
