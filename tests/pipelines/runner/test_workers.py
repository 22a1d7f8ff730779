"""Work is done here unless a runner is asked for, and in the same pieces."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from lookalike.runner.work_list import write_work_list
from lookalike.runner.workers import in_workers, pieces_at_most, workers_here


def write_down(folder, elements):
    """What a worker of the tests does with a piece."""
    elements = list(elements)
    (folder / f"{elements[0]}").write_text(str(elements))


@pytest.mark.parametrize("flags", [[], ["--runner=FnApiRunner"]])
def test_every_piece_is_worked_on_here_or_by_beam(tmp_path, flags):
    work = write_work_list(str(tmp_path / "work"), range(7), 7, int, 3)
    (tmp_path / "done").mkdir()
    in_workers("Write", partial(write_down, tmp_path / "done"), work, flags)
    done = {path.name: path.read_text() for path in (tmp_path / "done").iterdir()}
    assert done == {"0": "[0, 1]", "2": "[2, 3]", "4": "[4, 5, 6]"}


def test_one_process_gets_one_piece_and_workers_many():
    assert pieces_at_most([]) == pieces_at_most(["--runner=FnApiRunner"]) == 1
    assert pieces_at_most(["--runner=PortableRunner", "--job_endpoint=localhost:1"]) == 1000


def test_processes_that_flags_start_here_are_counted():
    assert workers_here([]) == workers_here(["--runner=FnApiRunner"]) == 1
    assert workers_here(["--direct_running_mode", "multi_processing", "--direct_num_workers", "4"]) == 4


def test_without_flags_beam_is_not_imported():
    program = (
        "import sys; from lookalike.runner.workers import in_workers, pieces_at_most, workers_here\n"
        "from lookalike.runner.work_list import WorkList\n"
        "in_workers('Nothing', print, WorkList('', 0, int), []); pieces_at_most([]), workers_here([])\n"
        "print('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
