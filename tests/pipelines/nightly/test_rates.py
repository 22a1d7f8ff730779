"""What one image comes to, told from what was embedded before or from a few that are embedded for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lookalike.embedding.plan import make_plan
from lookalike.nightly.rates import rates
from tests.conftest import picture


def test_they_are_of_the_images_that_met_the_network(published):
    plan = make_plan(published.loaded)
    notes = list(plan.stored)
    found = rates(published.loaded, plan)
    assert found.bytes == sum(note.bytes for note in notes) / 24
    assert found.seconds == pytest.approx(sum(sum(note.seconds.values()) for note in notes) / 24)
    reused = [replace(note, embedded=0, reused=8, seconds=dict.fromkeys(note.seconds, 9.0)) for note in notes]
    assert rates(published.loaded, replace(plan, stored=[*notes, *reused])).seconds == found.seconds


def test_without_any_a_sample_is_embedded_and_nothing_is_written(job, pictures):
    job.pack(pictures, per_shard=2)
    found = rates(job.loaded, make_plan(job.loaded))
    assert found.told_by == "a sample of 10 images, embedded just now"
    assert 0 < found.seconds < 60
    assert found.bytes == pytest.approx(len(picture(0)), rel=0.5)
    assert not job.store.exists()


def test_a_shard_that_is_gone_or_holds_no_image_is_no_part_of_the_sample(job, pictures):
    job.pack(pictures, per_shard=8)
    plan = make_plan(job.loaded)
    first, second, third = sorted(job.shards.iterdir())
    first.unlink()
    assert rates(job.loaded, plan).told_by == "a sample of 16 images, embedded just now"
    second.unlink()
    third.unlink()
    assert rates(job.loaded, plan) is None
