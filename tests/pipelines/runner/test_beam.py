"""Beam's flags and errors: no network, no stack trace, no typing error that goes unnoticed."""

from functools import partial

import apache_beam as beam
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.runner.beam import most_pieces, run_each, run_pipeline, workers_on_this_machine
from lookalike.runner.work_list import write_work_list
from tests.support.pieces import write_down


def raising(error):
    def build(pipeline):
        def fail(_):
            raise error

        _ = pipeline | beam.Create([1]) | "Step" >> beam.Map(fail)

    return build


@pytest.mark.parametrize("flags", [[], ["--runner", "DirectRunner"], ["--runner=FnApiRunner"]])
def test_a_workers_sentence_comes_back_alone(flags):
    with pytest.raises(LookalikeError) as error:
        run_pipeline(raising(LookalikeError("Expected this. Received: [that] in a 'b'")), flags)
    assert str(error.value) == "Expected this. Received: [that] in a 'b'"


def test_a_bug_in_a_worker_stays_what_it_is():
    with pytest.raises(Exception, match="division by zero") as error:
        run_pipeline(raising(ZeroDivisionError("division by zero")))
    assert not isinstance(error.value, LookalikeError)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--runner", "Nonsense"], "Nonsense"),
        (["--runner", "no.such.Runner"], "no.such.Runner"),
        (["--no_such_flag"], "none is named --no_such_flag"),
        (["--direct_num_wokers=2"], "none is named --direct_num_wokers"),
        (["--direct_num_workers", "two"], "invalid int value: 'two'"),
        (["--direct_running_mode", "quick"], "invalid choice: 'quick'"),
        (["--direct_num_workers", "2", "b.jpg"], "Received: b.jpg"),
    ],
)
def test_a_mistake_in_the_flags_is_refused_in_a_sentence(flags, said):
    with pytest.raises(LookalikeError) as error:
        run_pipeline(lambda pipeline: None, flags)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_worker_processes_are_counted_only_in_multi_processing():
    assert workers_on_this_machine([]) == 1
    assert workers_on_this_machine(["--direct_num_workers", "4"]) == 1
    assert (
        workers_on_this_machine(["--direct_running_mode", "multi_processing", "--direct_num_workers", "4"])
        == 4
    )


@pytest.mark.parametrize("most", [1, 3])
def test_every_element_of_a_work_list_is_worked_on(tmp_path, most):
    work = write_work_list(str(tmp_path / "work"), range(7), 7, int, most)
    run_each("Write", partial(write_down, tmp_path), work)
    assert sorted(path.name for path in tmp_path.glob("done-*")) == [f"done-{n}" for n in range(7)]


def test_the_worker_of_this_process_gets_one_piece():
    assert most_pieces([]) == most_pieces(["--runner=FnApiRunner"]) == 1
    assert most_pieces(["--direct_running_mode", "multi_processing", "--direct_num_workers", "2"]) == 1000
    assert most_pieces(["--runner=PortableRunner", "--job_endpoint=localhost:1"]) == 1000
