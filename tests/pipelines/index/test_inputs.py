"""Which embedding files an index shard is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index.duplicates import LeftOut
from lookalike.index.inputs import EmbeddingInput, number_of, read_inputs, write_inputs
from lookalike.model.digests import sha256_json
from lookalike.store.notes import EmbeddedShard
from tests.support.small_stores import a_note

OTHERS = {"encoder": "e", "scann": "1"}


def note(shard: str, vectors: int) -> EmbeddedShard:
    fields = {"path": f"{shard}.parquet", "sha256": shard}
    return a_note(
        shard=shard, read=vectors, embedded=vectors - 1, reused=1, rejected=0, duplicates=0, **fields
    )


def test_index_shards_are_a_power_of_two_and_growth_only_splits_them():
    names = [f"s{number}.tfrecord" for number in range(64)]
    four, eight = ([number_of(name, shards) for name in names] for shards in (4, 8))
    assert [number % 4 for number in eight] == four
    assert set(eight) == set(range(8))


def test_a_shards_index_follows_from_its_name_alone():
    assert number_of("shards/a.tfrecord", 1) == 0
    # Measured once: with another hash every index of every store would be built anew.
    assert [number_of(f"s{i}.tfrecord", 8) for i in range(6)] == [5, 6, 6, 3, 2, 5]


@given(
    counts=st.lists(st.integers(1, 4), max_size=12),
    shards=st.sampled_from([1, 2, 4]),
    data=st.data(),
)
def test_every_file_is_in_one_index_shard_with_what_is_left_out_of_it(tmp_path_factory, counts, shards, data):
    path = str(tmp_path_factory.mktemp("inputs") / "inputs.arrow")
    notes = [note(f"s{number}", count) for number, count in enumerate(counts)]
    gone = [data.draw(st.sets(st.integers(0, count - 1))) for count in counts]
    left_out = [
        LeftOut(number, f"i{n}", 0 if n % 2 else None, n % 3 == 0)
        for number, ids in enumerate(gone)
        for n in sorted(ids)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.index.inputs._AT_ONCE", data.draw(st.sampled_from([1, 3, 100])))
        inputs = write_inputs(path, notes, left_out, shards, OTHERS)
    assert inputs.duplicates == sum(one.kept is not None for one in left_out)
    assert inputs.taken_down == sum(one.taken_down for one in left_out)
    for shard in range(shards):
        expected = [
            EmbeddingInput(note.path, note.sha256, tuple(f"i{n}" for n in sorted(ids)))
            for note, ids in zip(notes, gone, strict=True)
            if number_of(note.shard, shards) == shard
        ]
        assert list(read_inputs(path, shard, shards)) == expected
        told = [[one.path, one.sha256, list(one.left_out)] for one in expected]
        assert inputs.digests[shard] == sha256_json({**OTHERS, "inputs": told})
        assert inputs.vectors[shard] == sum(
            note.embedded + note.reused - len(ids)
            for note, ids in zip(notes, gone, strict=True)
            if number_of(note.shard, shards) == shard
        )
