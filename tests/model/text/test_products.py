"""A row of a product is the same to the byte, alone or among others."""

import numpy as np

from lookalike.model.text.products import times


def test_no_row_depends_on_the_others():
    random = np.random.default_rng(0)
    rows = random.normal(size=(37, 384)).astype(np.float32)
    matrix = random.normal(size=(256, 384)).astype(np.float32).T
    whole = times(rows, matrix)
    np.testing.assert_allclose(whole, rows @ matrix, rtol=1e-4, atol=1e-4)
    for row in (0, 7, 8, 36):
        np.testing.assert_array_equal(times(rows[row : row + 1], matrix)[0], whole[row])
    assert times(rows[:0], matrix).shape == (0, 256)
