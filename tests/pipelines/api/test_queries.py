"""Queries of a program, in blocks."""

import warnings

import numpy as np
import pyarrow as pa
import pytest

import lookalike
from lookalike.api.queries import id_blocks, image_blocks, names_of, vector_blocks
from lookalike.model.errors import LookalikeError
from lookalike.query.look_up import LookUpIds
from tests.support.index_shards import shard_of


def blocks(vectors, names=None, size=2):
    return list(vector_blocks(vectors, names_of(names), 3, "cosine", size))


def test_names_and_numbers_go_on_from_block_to_block():
    found = blocks(np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    assert [block.ids for block in found] == [["0"], ["2", "3"]]
    assert [block.numbers.tolist() for block in found] == [[0], [2, 3]]
    assert [[f[:3] for f in block.failures] for block in found] == [[(1, "1", "vector")], []]
    assert [block.ids for block in blocks(np.eye(3), iter("abc"))] == [["a", "b"], ["c"]]
    assert found[0].vectors.dtype == np.float32


def test_one_vector_is_one_query():
    (block,) = blocks([1, 2, 3])
    assert block.vectors.tolist() == [[1, 2, 3]]


def test_numbers_are_wanted():
    for wrong in ("abc", [[True] * 3], None, [[1j] * 3], np.zeros((2, 3, 1))):
        with pytest.raises(LookalikeError, match="Expected vectors"):
            blocks(wrong)


def test_arrow_vectors_need_not_be_whole_or_of_one_length():
    column = pa.array([[9, 9, 9], [1, 0, 0], [0, 1, 0]], pa.list_(pa.float32(), 3))[1:]
    for given in (column, pa.chunked_array([column[:1], column[1:]]), column.cast(pa.list_(pa.float64()))):
        assert blocks(given)[0].vectors.tolist() == [[1, 0, 0], [0, 1, 0]]
    apart = column.cast(pa.list_(pa.float64())).to_numpy(zero_copy_only=False)
    assert apart.dtype == object
    assert blocks(apart)[0].vectors.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert not blocks(column[:0])
    assert not blocks(pa.chunked_array([], column.type))
    with pytest.raises(LookalikeError, match="Expected vectors"):
        blocks(pa.array([[1, 0, 0], None], pa.list_(pa.float32(), 3)))


def test_images_are_searched_for_many_at_a_time(encoder, pictures):
    images = [*pictures.values(), b""] * 22
    found = list(image_blocks(images, names_of(None), lookalike.open_encoder(encoder), "cosine"))
    assert [len(block.ids) + len(block.failures) for block in found] == [512, 38]
    assert [failure.number for block in found for failure in block.failures] == list(range(24, 550, 25))
    assert [int(name) for block in found for name in block.ids] == [n for n in range(550) if n % 25 != 24]


def test_numbers_too_large_for_float32_fail_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (block,) = blocks(np.array([[1e300, 0, 0], [1, 0, 0]]))
    assert [failure.number for failure in block.failures] == [0]


def test_ids_that_are_looked_up_some_at_a_time_keep_the_names_of_their_queries():
    how = LookUpIds(None, pa.array([], pa.string()), "best", "cosine", size=2)
    ids = pa.array(["a", "gone", "nowhere", "b", "c"])
    found = list(id_blocks(ids, iter("vwxyz"), [shard_of("abc", np.eye(3))], how))
    assert [block.ids for block in found] == [["v"], ["y"], ["z"]]
    assert [block.numbers.tolist() for block in found] == [[0], [3], [4]]
    assert [one[:3] for block in found for one in block.failures] == [(1, "w", "lookup"), (2, "x", "lookup")]
    np.testing.assert_array_equal(np.concatenate([block.vectors for block in found]), np.eye(3))
