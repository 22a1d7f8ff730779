"""Bootstrap and randomisation against exact enumeration, and against what theory says of them."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lookalike.model.measuring import significance
from lookalike.model.measuring.significance import (
    bootstrap_difference,
    bootstrap_interval,
    randomisation_test,
)

RNG = np.random.default_rng(7)


def test_the_interval_of_two_values_is_that_of_all_four_resamples():
    # Means 0, 1/2, 1/2, 1, each with probability 1/4: the 10 % and 90 % points are 0 and 1, the 30 % one 1/2.
    low, high = bootstrap_interval(np.array([[0.0], [1.0]]), level=0.8)
    assert (low.tolist(), high.tolist()) == ([0.0], [1.0])
    low, high = bootstrap_interval(np.array([[0.0], [1.0]]), level=0.4)
    assert (low.tolist(), high.tolist()) == ([0.5], [0.5])


def test_the_interval_is_that_of_scipy():
    values = RNG.uniform(size=(30, 3))
    found = bootstrap_interval(values, resamples=2000, seed=5)
    rng = np.random.default_rng(5)
    scipy = stats.bootstrap((values,), np.mean, axis=0, n_resamples=2000, method="percentile", rng=rng)
    np.testing.assert_allclose(found, tuple(scipy.confidence_interval), rtol=1e-12)


def test_p_is_that_of_scipy():
    differences = RNG.normal(0.1, 1, (40, 5))

    def mean(one, other, axis):
        return np.mean(one - other, axis=axis)

    pair = (differences, np.zeros_like(differences))
    rng = np.random.default_rng(5)
    scipy = stats.permutation_test(pair, mean, permutation_type="samples", n_resamples=10_000, rng=rng)
    # The standard deviation of a share of 10,000 is at most 0.005, of a difference of two 0.007.
    np.testing.assert_allclose(randomisation_test(differences), scipy.pvalue, atol=0.03)


def test_a_large_sample_has_the_normal_interval():
    values = RNG.normal(3, 2, (2000, 1))
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert low[0] == pytest.approx(values.mean() - half, abs=0.01)
    assert high[0] == pytest.approx(values.mean() + half, abs=0.01)


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    inside = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).uniform(0, 1, (60, 1))
        low, high = bootstrap_interval(sample, resamples=1000, seed=seed)
        inside += bool(low[0] <= 0.5 <= high[0])
    # Three standard deviations of a binomial of 200 with p = 0.95 are 9.
    assert 180 <= inside <= 199


def test_metrics_share_the_resamples_so_that_equal_columns_have_equal_intervals():
    values = RNG.uniform(size=(50, 1))
    low, high = bootstrap_interval(np.column_stack([values, values, values + 1]))
    assert low[0] == low[1]
    assert high[2] == pytest.approx(high[0] + 1)


def test_the_same_seed_gives_the_same_numbers_however_many_fit_into_memory(monkeypatch):
    values = RNG.uniform(size=(40, 2))
    first = bootstrap_interval(values, resamples=500), randomisation_test(values - 0.5, rounds=500)
    again = bootstrap_interval(values, resamples=500), randomisation_test(values - 0.5, rounds=500)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    monkeypatch.setattr(significance, "_AT_ONCE", 100)
    np.testing.assert_allclose(bootstrap_interval(values, resamples=500), first[0], atol=0.02)
    assert not np.array_equal(bootstrap_interval(values, resamples=500, seed=1), first[0])


def test_the_p_of_a_few_queries_is_that_of_all_their_signs():
    differences = np.array([0.3, 0.1, -0.05, 0.2, 0.15, 0.0, 0.25])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=len(differences))]
    exact = np.mean([s >= abs(differences.sum()) - 1e-12 for s in sums])
    p = randomisation_test(differences[:, None], rounds=40_000)[0]
    assert p == pytest.approx(exact, abs=3 * math.sqrt(exact / 40_000) + 1 / 40_000)


def test_no_difference_has_p_1_and_a_clear_one_the_least_that_can_be():
    differences = np.column_stack([np.zeros(100), np.full(100, 0.1)])
    assert randomisation_test(differences, rounds=999).tolist() == [1.0, 1 / 1000]


def test_where_nothing_differs_p_is_below_a_twentieth_in_a_twentieth_of_cases():
    differences = RNG.normal(size=(30, 400))
    ps = np.concatenate(
        [randomisation_test(differences[:, i : i + 50], rounds=500, seed=i) for i in range(0, 400, 50)]
    )
    assert 4 <= (ps <= 0.05).sum() <= 36


def test_the_difference_of_two_samples_is_near_that_of_their_means():
    first, second = RNG.normal(0, 1, (400, 1)), RNG.normal(1, 1, (900, 1))
    low, high = bootstrap_difference(first, second)
    half = 1.96 * math.sqrt(first.var() / 400 + second.var() / 900)
    middle = second.mean() - first.mean()
    assert low[0] == pytest.approx(middle - half, abs=0.02)
    assert high[0] == pytest.approx(middle + half, abs=0.02)


def test_one_query_has_no_width():
    low, high = bootstrap_interval(np.array([[0.25, 1.0]]))
    assert low.tolist() == high.tolist() == [0.25, 1.0]


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.zeros(3), np.array([[np.nan]])])
def test_what_has_no_mean_is_refused(values):
    for function in (bootstrap_interval, randomisation_test):
        with pytest.raises(ValueError, match="Expected finite values"):
            function(values)
