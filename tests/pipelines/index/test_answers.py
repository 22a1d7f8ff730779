"""Answers without open shards: merged as one search would give them, and written down as they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lookalike.index.answers import Answers, ask, merged, read_answers, write_answers
from tests.support.index_shards import shard_of


def same(one, other):
    np.testing.assert_array_equal(one.near, other.near)
    assert one.items.to_pylist() == other.items.to_pylist()
    assert (one.vectors is None) == (other.vectors is None)
    if one.vectors is not None:
        np.testing.assert_array_equal(one.vectors, other.vectors)


def two_parts(with_vectors=False):
    queries = np.float32([[1, 0], [0, 1]])
    one = shard_of(["ü", "b"], [[1, 0], [0, 1]], price=pa.array([1, 2]))
    two = shard_of(["a"], [[1, 0]], price=pa.array([3]))
    parts = [ask([shard], queries, 2, with_vectors=with_vectors) for shard in (one, two)]
    return parts, ask([one, two], queries, 2, with_vectors=with_vectors)


def test_merged_answers_are_those_of_all_shards_together_and_ties_go_by_id():
    for with_vectors in (False, True):
        parts, whole = two_parts(with_vectors)
        same(merged(parts, 2), whole)
        same(merged(parts[::-1], 2), whole)
    assert whole.items["item_id"].to_pylist() == ["a", "ü", "b", "a"]
    assert (whole.query.tolist(), whole.rank.tolist()) == ([0, 0, 1, 1], [1, 2, 1, 2])
    np.testing.assert_array_equal(whole.vectors, [[1, 0], [1, 0], [0, 1], [1, 0]])


def test_what_is_written_is_read_again_block_by_block(tmp_path):
    for with_vectors in (False, True):
        parts, _ = two_parts(with_vectors)
        nothing = Answers(
            np.full((3, 2), -np.inf, np.float32),
            parts[0].items.slice(0, 0),
            np.empty((0, 2), np.float32) if with_vectors else None,
        )
        blocks = [*parts, nothing]
        with write_answers(f"{tmp_path}/{with_vectors}") as add:
            for block in blocks:
                add(block)
        read = list(read_answers(f"{tmp_path}/{with_vectors}"))
        assert len(read) == 3
        for one, other in zip(read, blocks, strict=True):
            same(one, other)


def test_each_item_of_merged_answers_has_its_own_vector_though_others_of_its_shard_are_left_out():
    near = [np.float32([[0.9, 0.2], [0.5, 0.4]]), np.float32([[0.8, 0.7], [0.3, 0.1]])]
    parts = []
    for number, of_part in enumerate(near):
        items = pa.table({"item_id": [f"{number}{place}" for place in range(4)]})
        vectors = 10 * number + np.arange(4, dtype=np.float32)[:, None]
        parts.append(Answers(of_part, items, vectors))
    found = merged(parts, 2)
    assert found.items["item_id"].to_pylist() == ["00", "10", "02", "03"]
    assert found.vectors.tolist() == [[0], [10], [2], [3]]
