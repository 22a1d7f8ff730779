import numpy as np
import pytest

from lookalike.index.clusters import cluster_centres, nearest_centres


def heaps(count, size, dim=8, seed=0):
    """Vectors of unit length in `count` tight heaps, and the heap of each."""
    random = np.random.default_rng(seed)
    middles = random.standard_normal((count, dim))
    rows = np.repeat(middles, size, axis=0) + 0.02 * random.standard_normal((count * size, dim))
    which = np.repeat(np.arange(count), size)
    order = random.permutation(len(rows))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[order], which[order]


@pytest.mark.parametrize("spherical", [True, False])
def test_the_nearest_centre_is_that_of_all_distances(spherical):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3000, 5)).astype(np.float32)
    centres = random.standard_normal((40, 5)).astype(np.float32)
    apart = np.square(vectors[:, None] - centres[None]).sum(axis=2)
    near = vectors @ centres.T if spherical else -apart
    found = nearest_centres(vectors, centres, 2, spherical=spherical)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, near.argmax(axis=1))


def test_of_centres_as_near_the_first_is_taken():
    centres = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    assert nearest_centres(centres, centres, 1, spherical=True).tolist() == [0, 1, 0]


def test_a_centre_is_the_mean_of_the_vectors_that_are_nearest_to_it():
    vectors, _ = heaps(30, 40)
    centres = cluster_centres(vectors, 20, 10_000, 0, 2, spherical=False)
    which = nearest_centres(vectors, centres, 2, spherical=False)
    means = np.stack([vectors[which == n].mean(axis=0) for n in range(20)])
    # The last round moves centres a little, so that few vectors change theirs.
    assert np.abs(means - centres).max() < 0.1
    directions = cluster_centres(vectors, 20, 10_000, 0, 2, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-6)


def test_heaps_are_seldom_divided():
    vectors, heap = heaps(10, 100)
    centres = cluster_centres(vectors, 40, 10_000, 0, 2, spherical=True)
    which = nearest_centres(vectors, centres, 2, spherical=True)
    assert all(len(set(heap[which == number])) <= 1 for number in range(40))


@pytest.mark.parametrize("spherical", [True, False])
def test_any_number_of_threads_finds_the_same_to_the_bit(spherical):
    vectors = np.random.default_rng(1).standard_normal((20_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, three = (cluster_centres(vectors, 300, 9_000, 0, n, spherical=spherical) for n in (1, 3))
    assert one.tobytes() == three.tobytes()
    assert one.tobytes() != cluster_centres(vectors, 300, 9_000, 1, 1, spherical=spherical).tobytes()


def test_as_many_centres_as_vectors_are_these():
    vectors, _ = heaps(4, 3)
    centres = cluster_centres(vectors, 12, 12, 0, 1, spherical=True)
    np.testing.assert_allclose(np.sort(centres, axis=0), np.sort(vectors, axis=0), atol=1e-6)


def test_a_centre_that_no_vector_is_nearest_to_divides_a_large_cluster():
    """Most of what is drawn at random here is one heap: its centres are more than it needs."""
    vectors = np.concatenate([heaps(1, 900)[0], heaps(20, 5, seed=3)[0]])
    centres = cluster_centres(vectors, 60, 10_000, 0, 1, spherical=True)
    sizes = np.bincount(nearest_centres(vectors, centres, 1, spherical=True), minlength=60)
    assert (sizes > 0).sum() > 50


def test_directions_that_cancel_leave_their_centre_where_it_was():
    vectors = np.array([[1, 0], [-1, 0]] * 50, np.float32)
    assert np.isfinite(cluster_centres(vectors, 1, 100, 0, 1, spherical=True)).all()
