"""Index shards that a worker's memory could not hold are refused before any work, with what would do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index.inputs import number_of
from lookalike.index.sizing import check_sizes, memory_of
from lookalike.model.errors import LookalikeError
from lookalike.sources.base import shards_for
from lookalike.store.notes import EmbeddedShard
from tests.support.small_stores import a_note

MEASURED = {
    (50_000, 256, False): 294,
    (200_000, 256, False): 1133,
    (50_000, 1024, False): 938,
    (100_000, 32, False): 194,
    (50_000, 256, True): 406,
}
"""Vectors, their length and whether they are augmented -> peak of `build_index_shard` in MiB above a process of 120."""


def note(number: int, vectors: int) -> EmbeddedShard:
    return a_note(shard=f"s{number}", embedded=vectors, reused=0)


@pytest.mark.parametrize("case", MEASURED)
def test_the_estimate_is_above_what_was_measured_and_not_by_far(case):
    measured = (120 + MEASURED[case]) * 2**20
    assert measured <= memory_of(*case) <= 1.5 * measured


def test_what_fits_passes(tmp_path):
    check_sizes([], 1, 256, memory_of(0, 256))
    check_sizes([note(1, 1000)], 1, 256, memory_of(1000, 256))
    with pytest.raises(LookalikeError):
        check_sizes([note(1, 1001)], 1, 256, memory_of(1000, 256))
    with pytest.raises(LookalikeError):
        check_sizes([note(1, 1000)], 1, 256, memory_of(1000, 256), augmented=True)


@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=60), most=st.integers(300, 3000))
def test_what_is_advised_fits(counts, most):
    notes = [note(number, count) for number, count in enumerate(counts)]
    memory = memory_of(most, 8)
    try:
        check_sizes(notes, 1, 8, memory)
    except LookalikeError as error:
        (advised,) = map(int, re.findall(r"index\.shard_vectors: (\d+) would do", str(error)))
        shards = shards_for(sum(counts), advised)
        check_sizes(notes, shards, 8, memory)
        sizes = [sum(n.embedded for n in notes if number_of(n.shard, shards) == k) for k in range(shards)]
        assert max(sizes) <= most < sum(counts)
    else:
        assert sum(counts) <= most


def test_where_one_image_shard_is_too_large_that_is_said():
    with pytest.raises(LookalikeError, match="the largest image shard has 2,000 vectors: make image shards"):
        check_sizes([note(1, 2000), note(2, 5)], 2, 8, memory_of(1000, 8))


def test_a_night_whose_index_shards_would_not_fit_is_refused_before_it_reads_anything(copied):
    done = copied.run("nightly", "--set", "metric=euclidean", "--set", "index.worker_memory=1MiB")
    assert done.code == 2
    assert done.sentence.startswith(
        "Expected index shards that fit into 1 MiB (index.worker_memory). Received: one of 24 vectors of 16 numbers"
    )
    assert copied.nightly("--set", "metric=euclidean", "--set", "index.worker_memory=1GiB").code == 0
