import numpy as np
import pytest

from lookalike.index.stored import (
    FILES,
    SIZES,
    JoinedVectors,
    StoredVectors,
    are_stored,
    read_vectors,
    stored,
    write_vectors,
)

KINDS = ("float32", "bfloat16", "int8")


def rows(count=50, dim=7, scale=1.0):
    return (scale * np.random.default_rng(0).standard_normal((count, dim))).astype(np.float32)


def test_bfloat16_is_the_nearest_and_of_two_the_even_one():
    given = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8 - 2**-12, 0.0, -0.0]], np.float32)
    found = np.asarray(stored(given, "bfloat16", "euclidean"))
    assert found.tolist() == [[1.0, 1.0, 1 + 2**-6, -1 - 2**-7, 0.0, -0.0]]


def test_what_rounds_to_infinity_stays_finite():
    largest = np.finfo(np.float32).max
    found = np.asarray(stored(np.array([[largest, -largest]], np.float32), "bfloat16", "euclidean"))
    assert np.isfinite(found).all()
    assert found[0, 0] == -found[0, 1] > 3.3e38


def test_int8_has_254_steps_for_each_dimension():
    given = np.array([[1.0, -300.0, 0.0], [-0.5, 150.0, 0.0], [0.006, 1.0, 0.0]], np.float32)
    held = stored(given, "int8", "euclidean")
    assert held.codes.tolist() == [[127, -127, 0], [-64, 64, 0], [1, 0, 0]]
    np.testing.assert_allclose(np.asarray(held), held.codes / 127 * [1, 300, 1], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_what_was_rounded_once_stays_as_it_is(kind, scale):
    once = np.asarray(stored(rows(scale=scale), kind, "euclidean"))
    np.testing.assert_allclose(np.asarray(stored(once, kind, "euclidean")), once, rtol=1e-6)
    step = {"bfloat16": 2**-8, "int8": 1 / 127}[kind]
    assert np.abs(once - rows(scale=scale)).max() <= step * np.abs(rows(scale=scale)).max()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_rows_are_read_as_an_array_gives_them(kind, metric):
    held = stored(rows(), kind, metric)
    whole = np.asarray(held)
    assert (whole.dtype, held.shape, len(held)) == (np.float32, (50, 7), 50)
    some = np.array([3, 3, 49, -1])
    np.testing.assert_array_equal(held[some], whole[some])
    np.testing.assert_array_equal(held[10:12], whole[10:12])
    out = np.empty((4, 7), np.float32)
    assert held.take(some, axis=0, out=out, mode="wrap") is out
    np.testing.assert_array_equal(out, whole[some])
    lengths = np.linalg.norm(held.rounded(), axis=1, keepdims=True)
    np.testing.assert_allclose(whole, held.rounded() / (lengths if metric == "cosine" else 1), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_files_hold_what_was_written(kind, tmp_path):
    held = stored(rows(), kind, "cosine")
    write_vectors(str(tmp_path), held, kind)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES[kind])
    codes = np.load(tmp_path / FILES[kind][0])
    assert codes.itemsize == SIZES[kind]
    again = read_vectors(str(tmp_path), kind, "cosine")
    assert isinstance(again, StoredVectors) == (kind != "float32")
    np.testing.assert_array_equal(np.asarray(again), np.asarray(held))


@pytest.mark.parametrize("kind", KINDS)
def test_no_vectors_are_stored_too(kind):
    assert np.asarray(stored(rows(0), kind, "cosine")).shape == (0, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_that_are_stored_alike_are_known_again(kind):
    held, asked = stored(rows(), kind, "cosine"), rows()
    asked[1] *= 1.5
    asked[2, 3] *= 1000
    found = are_stored(held, np.array([0, 1, 2, 3, 5]), asked[[0, 1, 2, 3, 4]])
    assert found.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("kinds", [("float32", "float32"), ("int8", "bfloat16"), ("bfloat16", "float32")])
@pytest.mark.parametrize("added", [0, 6])
def test_some_of_one_index_and_all_of_another_are_read_as_if_they_were_one_array(kinds, added):
    first, second = (
        stored(rows(20), kinds[0], "euclidean"),
        stored(rows(added, scale=9), kinds[1], "euclidean"),
    )
    some = np.array([0, 3, 4, 19])
    joined = JoinedVectors(first, some, second)
    whole = np.concatenate([np.asarray(first)[some], np.asarray(second)])
    assert (joined.shape, len(joined)) == (whole.shape, len(whole))
    numbers = np.array([3, 0, len(whole) - 1, -1, 2, 2])
    np.testing.assert_array_equal(joined[numbers], whole[numbers])
    out = np.empty((6, 7), np.float32)
    assert joined.take(numbers, axis=0, out=out, mode="wrap") is out
    np.testing.assert_array_equal(out, whole[numbers])
