"""A Dask cluster on loopback: the work is done once, and whatever goes wrong is a sentence in less than 30 s."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from lookalike.model.errors import LookalikeError
from lookalike.runner import dask_cluster
from lookalike.runner.beam import run_each
from lookalike.runner.work_list import WorkList, write_work_list
from tests.support.dask_processes import DaskProcesses
from tests.support.pieces import ended, failing, slow, write_down
from tests.support.places import ROOT

pytest.importorskip("distributed")
PATH = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
"""By which workers find the functions of the tests."""
HERE = f"(on {socket.gethostname()})"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with DaskProcesses(tmp_path_factory.mktemp("dask"), 2, PATH) as processes:
        yield processes


def work_list(folder: Path, count: int = 6) -> WorkList[int]:
    return write_work_list(str(folder / "work"), range(count), count, int)


@pytest.mark.parametrize("runner", ["dask", "DaskRunner", dask_cluster.NAME])
@pytest.mark.slow
def test_every_element_is_worked_on_by_workers(cluster, tmp_path, runner):
    run_each(
        "Write", partial(write_down, tmp_path), work_list(tmp_path), [f"--runner={runner}", cluster.flags[1]]
    )
    done = {path.name: path.read_text() for path in tmp_path.glob("done-*")}
    assert sorted(done) == [f"done-{n}" for n in range(6)]
    assert {*done.values()} <= {str(worker.pid) for worker in cluster.workers}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LookalikeError("Expected this. Received: that"), f"Expected this. Received: that {HERE}"),
        (PermissionError(13, "Permission denied", "/x"), f"Permission denied: /x {HERE}"),
    ],
)
def test_an_error_of_a_worker_is_its_sentence_and_its_machine(cluster, tmp_path, error, sentence):
    with pytest.raises(LookalikeError) as raised:
        run_each("Fail", partial(failing, error), work_list(tmp_path), cluster.flags)
    assert str(raised.value) == sentence


@pytest.mark.slow
def test_a_bug_in_a_worker_stays_what_it_is(cluster, tmp_path):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        run_each(
            "Fail",
            partial(failing, ZeroDivisionError("division by zero")),
            work_list(tmp_path),
            cluster.flags,
        )


@pytest.mark.slow
def test_workers_that_do_not_see_the_store_say_so(cluster, tmp_path):
    with pytest.raises(
        LookalikeError, match=r"Expected every worker to see the store\. Received: no /.* on "
    ):
        run_each(
            "Write", partial(write_down, tmp_path), WorkList(str(tmp_path / "work"), 3, int), cluster.flags
        )


@pytest.mark.slow
def test_work_that_ends_workers_is_given_up_and_others_do_what_a_lost_one_had(tmp_path, cluster):
    with DaskProcesses(tmp_path / "dask", 4, PATH) as processes:
        with pytest.raises(LookalikeError, match="when 4 Dask workers ended, the last of them tcp://127"):
            run_each("End", partial(ended, None), work_list(tmp_path, 1), processes.flags)
        processes.add_worker()
        processes.add_worker()
        # The first to come to it is ended.
        run_each("End", partial(ended, tmp_path / "met"), work_list(tmp_path, 4), processes.flags)
        assert (tmp_path / "met").exists()


@pytest.mark.slow
def test_a_scheduler_that_goes_away_and_workers_that_never_come_are_told_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(dask_cluster, "NO_WORKER_SECONDS", 1.0)
    with DaskProcesses(tmp_path / "dask", 0, PATH) as processes:
        with pytest.raises(LookalikeError, match=r"Expected Dask workers at the scheduler tcp://127"):
            run_each("Wait", slow, work_list(tmp_path), processes.flags)
        assert "has no workers; waiting for one" in caplog.text
        processes.add_worker()
        monkeypatch.setattr(dask_cluster, "NO_WORKER_SECONDS", 60.0)
        threading.Timer(8, processes.scheduler.kill).start()
        started = time.monotonic()
        with pytest.raises(LookalikeError, match=r"The Dask scheduler at .* was lost"):
            run_each("Wait", slow, work_list(tmp_path), processes.flags)
        assert time.monotonic() - started < 38


@pytest.mark.slow
def test_a_worker_without_this_package_is_named(tmp_path):
    (tmp_path / "lookalike").mkdir()
    (tmp_path / "lookalike" / "__init__.py").write_text("raise ImportError('not here')")
    with DaskProcesses(tmp_path / "dask", 0) as processes:
        processes.add_worker({"PYTHONPATH": str(tmp_path)})
        with pytest.raises(LookalikeError, match=r"Expected this package .* Received on tcp://.*: not here"):
            run_each("Wait", slow, work_list(tmp_path), processes.flags)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            [],
            "Expected --dask_client_address or --dask_scheduler_file of a running scheduler. Received: neither",
        ),
        (
            ["--dask_scheduler_file=/no/file"],
            "Expected a file of a Dask scheduler. Received: none at /no/file",
        ),
        (["--dask_client_adress=x"], "Beam's flags: none is named --dask_client_adress"),
        (
            ["--dask_client_address=127.0.0.1:9", "--dask_connection_timeout=1"],
            "Expected a Dask scheduler at 127.0.0.1:9, and an answer within 1 s. "
            "Received: Timed out trying to connect to tcp://127.0.0.1:9 after 1 s",
        ),
    ],
)
def test_a_scheduler_that_cannot_be_reached_is_a_sentence(tmp_path, flags, sentence):
    with pytest.raises(LookalikeError) as error:
        run_each("Wait", slow, work_list(tmp_path), ["--runner=dask", *flags])
    assert str(error.value) == sentence
