"""What a nightly run would do, told without doing it."""

from __future__ import annotations

import os
import shutil

from lookalike.nightly.dry_run import DryRun, dry_run, dry_run_report
from lookalike.store import exclusions
from tests.conftest import picture
from tests.support.shards import pack_again


def test_a_dry_run_tells_the_plan_and_changes_nothing(job, pictures):
    job.pack(pictures)
    job.nightly()
    pack_again(job, pictures | {sorted(pictures)[3]: picture(999)})
    before = {p: p.read_bytes() for p in job.store.rglob("*") if p.is_file()}
    done = job.run("nightly", "--dry-run")
    assert "2 unchanged, 1 changed, 0 new, 0 removed" in done.out
    assert "1 of 1 shards to build" in done.out
    assert {p: p.read_bytes() for p in job.store.rglob("*") if p.is_file()} == before


def test_a_dry_run_knows_what_settings_and_takedowns_cost(published, copied):
    assert "at most 0 of 1 shards to build" in copied.run("nightly", "--dry-run").out
    assert "1 of 1" in copied.run("nightly", "--dry-run", "--set", "index.recall_target=0.9").out
    exclusions.add(str(copied.store), ["p00.jpg"])
    assert "1 of 1" in copied.run("nightly", "--dry-run").out


def test_of_an_empty_store_all_is_new_and_some_images_tell_the_time(job, pictures):
    job.pack(pictures)
    found = dry_run(job.loaded)
    assert (found.unchanged, found.changed, found.new, found.removed) == (0, 0, 3, 0)
    assert (found.indexes, found.rebuilt) == (1, 1)
    assert abs(found.images - 24) <= 2
    assert found.estimate.rates.told_by == "a sample of 24 images, embedded just now"
    assert not job.store.exists()


def test_a_shard_that_is_gone_costs_its_index(copied):
    shutil.copytree(copied.settings["corpus"]["shards"], copied.shards, dirs_exist_ok=True)
    copied.set(corpus={"shards": str(copied.shards)}).nightly()
    next(copied.shards.iterdir()).unlink()
    found = dry_run(copied.loaded)
    assert (found.unchanged, found.removed, found.images, found.rebuilt) == (2, 1, 0, 1)


def test_images_are_told_from_the_size_of_the_shards(copied):
    shutil.copytree(copied.settings["corpus"]["shards"], copied.shards, dirs_exist_ok=True)
    copied.set(corpus={"shards": str(copied.shards)}).nightly()
    for shard in copied.shards.iterdir():
        os.utime(shard, (1, 1))
    found = dry_run(copied.loaded)
    assert (found.changed, found.images) == (3, 24)
    assert found.estimate.worker_seconds > 0
    assert found.estimate.rates.told_by == "24 images in the store"


def test_the_report_tells_what_it_takes_only_where_that_is_known():
    plan = DryRun(1, 2, 3, 4, images=5_000, indexes=8, rebuilt=6, estimate=None)
    assert dry_run_report(plan).splitlines() == [
        "shards       1 unchanged, 2 changed, 3 new, 4 removed",
        "images       about 5,000 to read; only those that the store does not know meet the network",
        "index        at most 6 of 8 shards to build",
    ]
