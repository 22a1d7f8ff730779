"""The order of candidates: nearest first, ties by id."""

import numpy as np
import pyarrow as pa

from lookalike.index.ordering import Candidates, by_nearness, first_of, gather, ties_by_id
from tests.support.index_shards import shard_of


def candidates(near, shard, row) -> Candidates:
    near, shard, row = np.float32([near]), np.array([shard]), np.array([row])
    return Candidates(near, shard, row)


def two_shards():
    one = shard_of(["ü", "b"], [[1, 0], [0, 1]], number=pa.array([10, 11]))
    two = shard_of(["a", "z"], [[1, 0], [0.6, 0.8]], number=pa.array([20, 21]))
    return [one, two]


def test_candidates_come_nearest_first_and_those_that_are_none_last():
    found = by_nearness(candidates([0.2, -np.inf, 0.9, 0.5], [0, 0, 1, 1], [4, -1, 6, 7]))
    assert found.near.tolist() == [[np.float32(0.9), 0.5, np.float32(0.2), -np.inf]]
    assert (found.shard.tolist(), found.row.tolist()) == ([[1, 1, 0, 0]], [[6, 7, 4, -1]])


def test_the_first_of_several_parts_are_the_nearest_and_of_ties_those_whose_ids_come_first():
    parts = [candidates([0.9, 0.5, -np.inf], [0] * 3, [0, 1, -1]), candidates([0.9, 0.7], [1, 1], [0, 1])]
    found = first_of(two_shards(), parts, 3)
    assert found.near.tolist() == [[np.float32(0.9)] * 2 + [np.float32(0.7)]]
    assert list(zip(found.shard[0].tolist(), found.row[0].tolist(), strict=True)) == [(1, 0), (0, 0), (1, 1)]


def test_what_is_tied_goes_by_the_bytes_of_its_id():
    near, shard, row = ties_by_id(two_shards(), candidates([0.9, 0.9, 0.9, 0.5], [0, 1, 1, 0], [0, 1, 0, 1]))
    assert near.tolist() == [[np.float32(0.9)] * 3 + [0.5]]
    # a, z, ü: not the order of an alphabet.
    assert list(zip(shard[0].tolist(), row[0].tolist(), strict=True)) == [(1, 0), (1, 1), (0, 0), (0, 1)]


def test_places_without_a_candidate_are_no_tie():
    given = candidates([0.9, -np.inf, -np.inf], [0, 0, 0], [0, -1, -1])
    _, _, row = ties_by_id(two_shards(), given)
    assert row.tolist() == [[0, -1, -1]]


def test_columns_are_gathered_from_the_right_shard_in_the_order_asked_for():
    shards = two_shards()
    shard, row = np.array([1, 0, 1, 0]), np.array([1, 0, 0, 1])
    assert gather(shards, shard, row, "number").to_pylist() == [21, 10, 20, 11]
    assert gather(shards[:1], np.array([0, 0]), np.array([1, 0]), "item_id").to_pylist() == ["b", "ü"]
    assert gather(shards, np.array([], int), np.array([], int), "number").to_pylist() == []
