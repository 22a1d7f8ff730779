"""From scores to probabilities: against answers known by hand, and properties that hold for any pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.model.measuring.calibration import (
    FOLDS,
    METHODS,
    Logistic,
    brier,
    cross_validated,
    equal_mass,
    equal_width,
    fit_isotonic,
    fit_logistic,
    log_loss,
)


def pairs_of(queries: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that are relevant with probability 1 / (1 + exp(-(8 near - 4)))."""
    rng = np.random.default_rng(seed)
    near = rng.uniform(0, 1, queries * each)
    relevant = rng.uniform(size=len(near)) < 1 / (1 + np.exp(4 - 8 * near))
    return near, relevant, np.repeat(np.arange(queries), each)


def test_violators_are_pooled_and_few_pairs_are_drawn_to_the_mean():
    found = fit_isotonic(np.array([0.1, 0.2, 0.4, 0.9]), np.array([False, True, False, True]))
    assert found.near == pytest.approx((0.1, 0.3, 0.9))
    assert found.probability == pytest.approx(((0 + 1) / 3, (1 + 1) / 4, (1 + 1) / 3))
    assert found.apply(np.array([-5, 0.2, 5])).tolist() == pytest.approx([1 / 3, 5 / 12, 2 / 3])


def test_pairs_of_one_score_have_one_probability_whatever_their_order():
    near = np.array([0.5, 0.5, 0.5, 0.5])
    for relevant in ([True, False, True, True], [False, True, True, True]):
        found = fit_isotonic(near, np.array(relevant))
        assert found.near == (0.5,)
        assert found.probability == pytest.approx(((3 + 2 * 4 / 6) / 6,))


def test_a_logistic_curve_is_found_again():
    near, relevant, _ = pairs_of(200, 100)
    found = fit_logistic(near, relevant)
    assert found.slope == pytest.approx(8, abs=0.4)
    assert found.intercept == pytest.approx(-4, abs=0.2)


def test_classes_that_a_score_parts_stay_finite():
    near = np.array([0.1, 0.2, 0.8, 0.9])
    found = fit_logistic(near, near > 0.5).apply(near)
    assert 0 < found[0] < 0.5 < found[3] < 1


def test_where_far_pairs_are_the_relevant_ones_all_have_the_share_of_all():
    near = np.linspace(0, 1, 98)
    relevant = near < 0.5
    for fit in METHODS.values():
        assert fit(near, relevant).apply(np.array([0.0, 1.0])).tolist() == pytest.approx([0.5, 0.5])


def test_an_extreme_score_leaves_no_number_range():
    assert Logistic(slope=1e30, intercept=0).apply(np.array([-1e30, 1e30])).tolist() == pytest.approx([0, 1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.booleans()), min_size=1, max_size=40))
def test_a_probability_never_falls_with_nearness_and_is_never_0_or_1(pairs):
    near, relevant = np.array([n for n, _ in pairs]), np.array([r for _, r in pairs])
    asked = np.sort(np.concatenate([near, near * 1.5, [-1e7, 1e7]]))
    found = fit_isotonic(near, relevant)
    assert (np.diff(found.near) > 0).all()
    assert min(found.probability) > 0
    assert max(found.probability) < 1
    for fit in METHODS.values():
        assert (np.diff(fit(near, relevant).apply(asked)) >= 0).all()


def test_a_query_is_never_in_the_part_that_is_fitted_and_in_that_which_is_asked(monkeypatch):
    fitted, asked = [], []

    class Seen(Logistic):
        def apply(self, near):
            asked.append(set(near.tolist()))
            return np.full(len(near), 0.5)

    def fit(near, relevant):
        fitted.append(set(near.tolist()))
        return Seen(slope=0, intercept=0)

    monkeypatch.setattr("lookalike.model.measuring.calibration.METHODS", {"seen": fit})
    query = np.tile(np.arange(17) * 3, 4)
    cross_validated(query, query > 5, query)
    assert len(fitted) == FOLDS
    assert all(not one & other for one, other in zip(fitted, asked, strict=True))
    assert sorted(n for one in asked for n in one) == (np.arange(17) * 3).tolist()


def test_the_method_of_the_lower_log_loss_is_taken():
    near, relevant, query = pairs_of(20, 10)
    tried = cross_validated(near, relevant, query)
    assert tried.method == "logistic"
    assert tried.log_losses[tried.method] == min(tried.log_losses.values())
    assert tried.log_losses[tried.method] == pytest.approx(log_loss(tried.probability, relevant))
    near, _, query = pairs_of(200, 20)
    steps = np.where(near < 0.1, 0.02, np.where(near < 0.9, 0.5, 0.98))
    stepped = np.random.default_rng(7).uniform(size=len(near)) < steps
    assert cross_validated(near, stepped, query).method == "isotonic"


def test_probabilities_of_new_pairs_are_what_happens():
    near, relevant, query = pairs_of(300, 20)
    tried = cross_validated(near, relevant, query)
    assert equal_width(tried.probability, relevant).error < 0.03
    assert equal_mass(tried.probability, relevant).error < 0.03
    off = np.clip(tried.probability + 0.2, 0, 1)
    assert equal_width(off, relevant).error > 0.1


def test_a_bin_holds_its_upper_end():
    found = equal_width(np.array([0.0, 0.5, 0.50001, 1.0]), np.array([False, False, True, True]), bins=2)
    assert found.pairs.tolist() == [2, 2]
    assert found.relevant.tolist() == [0, 1]
    assert found.error == pytest.approx((2 * 0.25 + 2 * (1 - 0.750005)) / 4)


def test_bins_of_equal_mass_keep_equal_probabilities_together():
    probability = np.array([0.2] * 10 + [0.6, 0.7])
    found = equal_mass(probability, np.arange(12) % 2 == 0, bins=3)
    assert found.pairs.tolist() == [10, 2]
    assert equal_mass(np.arange(12) / 12, np.arange(12) > 5, bins=3).pairs.tolist() == [4, 4, 4]


def test_scores_of_probabilities_are_those_of_scikit_learn():
    from sklearn.metrics import brier_score_loss
    from sklearn.metrics import log_loss as other_log_loss

    probability = np.random.default_rng(0).uniform(0.01, 0.99, 50)
    relevant = np.arange(50) % 3 == 0
    assert log_loss(probability, relevant) == pytest.approx(other_log_loss(relevant, probability))
    assert brier(probability, relevant) == pytest.approx(brier_score_loss(relevant, probability))


@pytest.mark.parametrize("near", [[], [np.nan], [[1.0]], [1.0, 2.0]])
def test_what_is_no_pair_is_refused(near):
    for fit in METHODS.values():
        with pytest.raises(ValueError, match="Expected finite values"):
            fit(np.array(near), np.array([True]))


def test_fewer_queries_than_folds_are_refused():
    near, relevant, query = pairs_of(FOLDS - 1, 5)
    with pytest.raises(ValueError, match="Expected at least 5 queries"):
        cross_validated(near, relevant, query)
