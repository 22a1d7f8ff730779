import numpy as np
import pytest

from model.errors import LookalikeError
from model.projection import PCA, unit_length

RNG = np.random.default_rng(0)
# Two directions of large variance in five dimensions, away from the origin.
SAMPLE = (RNG.normal(size=(200, 2)) * [5, 2]) @ np.linalg.qr(RNG.normal(size=(5, 2)))[0].T + 7


def test_as_many_dimensions_as_the_data_have_keep_all_distances():
    features = SAMPLE.astype(np.float32)
    projected = PCA(2).fit(features).apply(features)
    assert (projected.shape, projected.dtype) == ((200, 2), np.float32)
    before = np.linalg.norm(features[:, None] - features, axis=-1)
    after = np.linalg.norm(projected[:, None] - projected, axis=-1)
    np.testing.assert_allclose(after, before, atol=1e-3)
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-4)


def test_components_are_those_of_the_singular_value_decomposition():
    centred = SAMPLE - SAMPLE.mean(axis=0)
    expected = np.linalg.svd(centred, full_matrices=False)[2][:2]
    found = PCA(2).fit(SAMPLE).components_
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-6)


def test_a_row_is_projected_the_same_to_the_bit_whatever_stands_beside_it():
    features = RNG.normal(size=(50, 300)).astype(np.float32)
    projection = PCA(40).fit(features)
    together = projection.apply(features)
    for rows in (slice(0, 1), slice(3, 8), slice(7, 40), slice(49, 50)):
        np.testing.assert_array_equal(projection.apply(features[rows]), together[rows])
    assert projection.apply(features[:0]).shape == (0, 40)


def test_two_fits_are_equal_and_survive_a_file(tmp_path):
    first, second = PCA(3).fit(SAMPLE), PCA(3).fit(SAMPLE)
    np.testing.assert_array_equal(first.components_, second.components_)
    first.save(tmp_path / "p.npz")
    loaded = PCA.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(loaded.apply(SAMPLE), first.apply(SAMPLE))


@pytest.mark.parametrize("shape", [(3, 5), (9, 3)])
def test_too_few_samples_or_features_are_refused(shape):
    with pytest.raises(LookalikeError, match=f"Received: {shape[0]} images, {shape[1]} features"):
        PCA(4).fit(np.ones(shape))


def test_unit_length_scales_rows_and_leaves_zeros():
    scaled = unit_length(np.array([[3.0, 4.0], [0, 0], [1e-30, 0], [1e19, 0]], np.float32))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [1, 0], [1, 0]], rtol=1e-6)
    assert scaled.dtype == np.float32
