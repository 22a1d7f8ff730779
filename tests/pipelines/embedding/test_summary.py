"""What a run comes to where shards are not finished, or come late."""

from __future__ import annotations

import shutil

import pytest

from lookalike.embedding.outcomes import Outcomes
from lookalike.embedding.plan import make_plan
from lookalike.embedding.summary import summarise
from lookalike.store.note_table import NoteTable
from lookalike.store.notes import COUNTS, EmbeddedShard


@pytest.fixture
def night(copied):
    """A published store, and a corpus of its own of which every shard is another than it was."""
    shards = copied.folder / "shards"
    shutil.rmtree(shards)
    copied.set(corpus={"shards": str(shards)}).pack({f"{i}.jpg": bytes([i]) for i in range(24)}, per_shard=6)
    return copied


def gone(plan) -> Outcomes:
    unfinished = {shard.name: f"{shard.name} is gone" for shard in plan.missing}
    return Outcomes(NoteTable.of(()), dict.fromkeys(COUNTS, 0), unfinished, frozenset(unfinished))


def test_a_shard_that_is_served_stays_so_and_others_wait(published, copied):
    served = [EmbeddedShard(**note) for note in published.generation["shards"]]
    plan = make_plan(published.loaded, trust="content")
    summary = summarise(copied.loaded, plan, gone(plan), 1.0)
    assert list(summary.plan.notes) == served
    assert not summary.plan.missing
    assert list(summary.unfinished) == [note.shard for note in served]
    assert (len(summary.embedded), summary.skipped) == (0, 0)


def test_a_shard_that_would_be_read_in_another_way_is_not_served_as_it_was(published, copied):
    config = copied.set(corpus={"metadata": {}}).loaded
    plan = make_plan(config)
    assert len(plan.missing) == 3
    assert not summarise(config, plan, gone(plan), 1.0).plan.shards


def test_what_is_served_by_nobody_is_left_out(night):
    plan = make_plan(night.loaded)
    summary = summarise(night.loaded, plan, gone(plan), 1.0)
    assert (len(summary.plan.shards), len(summary.unfinished), summary.late) == (0, 4, ())


def test_a_corpus_that_cannot_be_listed_again_is_a_warning(night, caplog):
    plan = make_plan(night.loaded)
    shutil.rmtree(night.shards)
    assert summarise(night.loaded, plan, gone(plan), 1.0).late == ()
    assert "the corpus cannot be listed again" in caplog.text


def test_shards_that_arrived_or_changed_are_late_unless_they_are_unfinished(night):
    plan = make_plan(night.loaded)
    outcomes = gone(plan)
    first = plan.missing[0].place
    (night.shards / "new.tfrecord").write_bytes(b"new")
    with open(first, "ab") as file:
        file.write(b"more")
    assert summarise(night.loaded, plan, outcomes, 1.0).late == ("new.tfrecord",)
