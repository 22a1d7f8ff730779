"""What workers tell the driver of each shard."""

from __future__ import annotations

import pytest

from lookalike.embedding.outcomes import Outcome, has_outcome, read_outcomes, run_file, write_outcome
from lookalike.filesystem.files import FileInfo
from lookalike.sources import Shard
from tests.support.small_stores import a_note


def shard(name: str, modified: str = "1") -> Shard:
    return Shard(name, "webdataset", (FileInfo(name, 1, modified),))


def test_outcomes_come_back_as_they_were_written_each_under_its_shard(tmp_path):
    run = str(tmp_path / "run")
    finished = Outcome("a.tar", a_note(), {"read": 3})
    unfinished = Outcome("b.tar", None, {}, "b.tar on host is gone")
    assert read_outcomes(run) == {}
    for outcome in (finished, unfinished, finished):
        write_outcome(run, shard(outcome.shard), outcome)
    assert read_outcomes(run) == {"a.tar": finished, "b.tar": unfinished}


@pytest.mark.parametrize("other", [shard("b.tar"), shard("a.tar", "2")])
def test_an_outcome_is_of_one_name_and_state(tmp_path, other):
    write_outcome(str(tmp_path), shard("a.tar"), Outcome("a.tar", None, {}, "gone"))
    assert has_outcome(str(tmp_path), shard("a.tar"))
    assert not has_outcome(str(tmp_path), other)
    assert run_file("r", "known", other) != run_file("r", "known", shard("a.tar"))
