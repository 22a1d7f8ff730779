"""What workers tell the driver of each shard."""

from __future__ import annotations

import pytest

from lookalike.embedding.outcomes import Outcome, outcome_log, read_outcomes, run_file
from lookalike.filesystem.files import FileInfo
from lookalike.sources import Shard
from tests.support.small_stores import a_note


def shard(name: str, modified: str = "1") -> Shard:
    return Shard(name, "webdataset", (FileInfo(name, 1, modified),))


def test_what_is_told_of_pieces_comes_back_each_shard_once(tmp_path):
    run = str(tmp_path / "run")
    finished = Outcome("a.tar", a_note(), {"read": 3, "reused": 3})
    unfinished = Outcome("b.tar", None, {}, "b.tar on host is gone")
    assert read_outcomes(run).done == set()
    for order in ([finished, unfinished], [unfinished, finished], [finished]):  # done twice, in another order
        with outcome_log(run, "embed") as outcomes:
            for outcome in order:
                outcomes.tell(shard(outcome.shard), outcome)
    told = read_outcomes(run)
    assert list(told.notes) == [finished.note]
    assert told.counts == {"read": 3, "embedded": 0, "reused": 3, "rejected": 0, "duplicates": 0}
    assert told.unfinished == {"b.tar": "b.tar on host is gone"}
    assert told.done == {"a.tar", "b.tar"}


def test_a_piece_that_fails_tells_the_driver_nothing_and_whoever_does_it_again_what_was_done(tmp_path):
    run = str(tmp_path / "run")

    def fail() -> None:
        with outcome_log(run, "embed") as outcomes:
            outcomes.tell(shard("a.tar"), Outcome("a.tar", a_note(), {"read": 3}))
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert read_outcomes(run).done == set()
    with outcome_log(run, "embed") as outcomes:
        assert outcomes.is_done(shard("a.tar"))
        assert not outcomes.is_done(shard("b.tar"))
        outcomes.tell(shard("b.tar"), Outcome("b.tar", None, {}, "gone"))
    assert (read_outcomes(run).counts["read"], read_outcomes(run).done) == (3, {"a.tar", "b.tar"})


@pytest.mark.parametrize("other", [shard("b.tar"), shard("a.tar", "2")])
def test_an_outcome_is_of_one_name_and_state(tmp_path, other):
    with outcome_log(str(tmp_path), "embed") as outcomes:
        outcomes.tell(shard("a.tar"), Outcome("a.tar", None, {}, "gone"))
        assert outcomes.is_done(shard("a.tar"))
        assert not outcomes.is_done(other)
    assert run_file("r", "known", other) != run_file("r", "known", shard("a.tar"))
