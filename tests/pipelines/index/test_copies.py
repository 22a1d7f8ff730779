import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookalike.index import copies
from lookalike.index.copies import distinct_rows


@given(numbers=st.lists(st.integers(0, 5), max_size=60), collide=st.booleans())
def test_the_first_of_each_is_named_and_every_row_finds_its_own(numbers, collide):
    rows = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)[np.array(numbers, int)]
    rows = rows.reshape(-1, 4)
    usual = copies._hashes
    if collide:  # all rows have one hash
        copies._hashes = lambda vectors: np.zeros(len(vectors), np.uint64)
    try:
        first, which = distinct_rows(rows)
    finally:
        copies._hashes = usual
    assert [numbers[row] for row in first] == list(dict.fromkeys(numbers))
    assert (rows[first][which] == rows).all()


def test_rows_that_differ_in_one_bit_are_two():
    rows = np.ones((3, 256), np.float32)
    rows[1, 255] = np.nextafter(np.float32(1), np.float32(2))
    first, which = distinct_rows(rows)
    assert first.tolist() == [0, 1]
    assert which.tolist() == [0, 1, 0]
