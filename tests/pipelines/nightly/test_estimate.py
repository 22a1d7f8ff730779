"""What a night takes, by the rates that are known of one image."""

from __future__ import annotations

import pytest

from lookalike.config.job import Config
from lookalike.nightly.estimate import Work, estimate, estimate_lines
from lookalike.nightly.rates import Rates

RATES = Rates(bytes=1e5, seconds=0.008, told_by="24,064 images in the store")
WORK = Work(shards=1000, images=900_000, stored=9_000, vectors=9_000_000, indexes=8, rebuilt=4, dim=256)


def config(store: str, memory: str = "16GiB", **prices: object) -> Config:
    job = {"corpus": {"shards": "x"}, "encoder": "e", "store": store, "prices": prices}
    job["index"] = {"worker_memory": memory}
    return Config.model_validate(job)


def test_it_is_told_in_words_that_can_be_checked_by_hand():
    prices = {"worker_hour": 0.1, "gigabyte_month": 0.02, "million_reads": 0.4, "million_writes": 5}
    found = estimate(config("s3://bucket/store", currency="EUR", **prices), WORK, RATES, threads=4)
    assert list(estimate_lines(found)) == [
        "time         about 30:00 for embedding on one worker of 4 threads, if all images are new: 0.50 worker-hours, "
        "by 24,064 images in the store",
        "memory       a worker takes about 1.4 GiB to embed, for rare pictures up to 1.0 GiB more, and 7.2 GiB to "
        "build an index shard",
        "disk         about 0.97 GB of embedding files and 5.27 GB of index, without metadata",
        "requests     about 22,000 that read and 6,000 that write",
        "cost         about 0.21 EUR: embedding 0.05, requests 0.04, a month of storage 0.12",
    ]


def test_where_only_new_files_are_checked_the_others_are_read_into_the_index_only():
    job = config("s3://bucket/store")
    every = job.model_copy(update={"gates": job.gates.model_copy(update={"digests": "all"})})
    assert (
        estimate(job, WORK, RATES, threads=2).reads
        == estimate(every, WORK, RATES, threads=2).reads - 2 * 9000
    )


def test_what_has_no_price_is_in_no_sum_and_a_disk_takes_no_requests():
    found = estimate(config("store", worker_hour=2, million_reads=9), WORK, RATES, threads=2)
    assert (found.reads, found.writes) == (None, None)
    assert found.cost == {"embedding": 2.0}
    assert not estimate(config("store"), WORK, RATES, threads=2).cost
    assert len(list(estimate_lines(estimate(config("store"), WORK, RATES, threads=2)))) == 3


@pytest.mark.parametrize(("threads", "seconds"), [(1, 7200), (2, 3600), (64, 112.5)])
def test_threads_share_the_work(threads, seconds):
    assert estimate(config("store"), WORK, RATES, threads).worker_seconds == seconds


@pytest.mark.parametrize(("memory", "said"), [("7GiB", True), ("8GiB", False)])
def test_index_shards_that_will_be_refused_are_told_of_before_the_night(memory, said):
    lines = list(estimate_lines(estimate(config("store", memory), WORK, RATES, threads=2)))
    assert any(line.startswith("TOO LARGE") and "7.0 GiB" in line for line in lines) == said
