"""Queries of a program, in blocks."""

import numpy as np
import pytest

from lookalike.api.queries import names_of, vector_blocks
from lookalike.model.errors import LookalikeError


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
