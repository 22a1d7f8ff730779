"""Beam's worker processes on this machine: one that ends takes the run with it, and none outlives a run."""

import threading
from functools import partial

import pytest
from apache_beam.runners.portability import local_job_service

from lookalike.model.errors import LookalikeError
from lookalike.runner import worker_processes
from lookalike.runner.beam import run_each
from lookalike.runner.work_list import write_work_list
from lookalike.runner.worker_processes import run_with_worker_processes
from tests.support.pieces import ended

LIVES = "sleep 60"


def run(commands, wait):
    """Starts processes as Beam does, then waits; gives them."""
    started = []

    def begin():
        started.extend(local_job_service.subprocess.Popen(command, shell=True) for command in commands)
        wait()

    return started, begin


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'kill -9 $$'", r"one that was ended by SIGKILL, often for want of memory\. Run the same"),
        ("sh -c 'kill -15 $$'", r"one that was ended by SIGTERM\. Run the same command again"),
        ("sh -c 'exit 3'", r"one that ended with code 3\. Run the same command again"),
    ],
)
def test_a_process_that_ends_with_an_error_ends_the_run_and_the_others(monkeypatch, command, said):
    monkeypatch.setattr(worker_processes, "LOOK_SECONDS", 0.01)
    never = threading.Event()
    started, begin = run([LIVES, command], never.wait)
    with pytest.raises(LookalikeError, match=said):
        run_with_worker_processes(begin)
    assert started[0].wait(10) == -9
    never.set()


def test_none_outlives_a_run_that_fails():
    started, begin = run([LIVES], lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_with_worker_processes(begin)
    assert started[0].wait(10) == -9


def test_processes_that_end_well_are_no_error(monkeypatch):
    monkeypatch.setattr(worker_processes, "LOOK_SECONDS", 0.01)
    started, begin = run(["true"], lambda: (started[0].wait(), threading.Event().wait(0.1)))
    run_with_worker_processes(begin)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_of_the_direct_runner_that_is_killed_is_told_of(tmp_path, capfd):
    flags = ["--direct_running_mode", "multi_processing", "--direct_num_workers", "2"]
    work = write_work_list(str(tmp_path / "work"), range(6), 6, int)
    with pytest.raises(LookalikeError, match=r"Received: one that was ended by SIGKILL"):
        run_each("End", partial(ended, None), work, flags)
    assert "Traceback" not in "".join(capfd.readouterr())
