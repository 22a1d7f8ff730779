import numpy as np
import pytest

from lookalike.model.networks.pooling import gem

MAP = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)


def test_power_one_is_the_average():
    np.testing.assert_allclose(gem(MAP, power=1), MAP.mean(axis=(1, 2)), rtol=1e-6)


def test_a_large_power_comes_near_the_maximum():
    np.testing.assert_allclose(gem(MAP, power=60), MAP.max(axis=(1, 2)), rtol=0.05)


def test_power_three_by_hand():
    feature_map = np.array([[[[1.0], [2.0]], [[3.0], [0.0]]]])
    assert gem(feature_map)[0, 0] == pytest.approx(((1 + 8 + 27) / 4) ** (1 / 3), rel=1e-6)


def test_negative_values_and_zeros_count_as_epsilon():
    pooled = gem(np.array([[[[-5.0], [0.0]]]]), epsilon=1e-3)
    assert pooled[0, 0] == pytest.approx(1e-3, rel=1e-5)
    assert pooled.shape == (1, 1)


def test_a_row_does_not_depend_on_the_others():
    np.testing.assert_array_equal(gem(MAP)[1:], gem(MAP[1:]))
