import numpy as np
import pytest

from lookalike.index.tuning import Shape, choose, cost, parameters_for


def recall_model(leaves_needed, reorder_needed, seen):
    def recalls(leaves, pre_reorder):
        seen.append((leaves, pre_reorder))
        return np.full(100, min(1.0, leaves / leaves_needed) * min(1.0, pre_reorder / reorder_needed))

    return recalls


def test_the_cheapest_setting_that_reaches_the_target_is_chosen():
    seen = []
    chosen = choose(Shape(100_000, 64, 600), recall_model(12, 40, seen), k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder, chosen.recall) == (12, 40, 1.0)
    assert len(seen) < 25


def test_more_leaves_are_weighed_against_more_candidates():
    shape = Shape(1_000_000, 64, 1000)

    def recalls(leaves, pre_reorder):
        return np.full(100, 1.0 if (leaves >= 2 and pre_reorder >= 1280) or (leaves >= 3) else 0.0)

    chosen = choose(shape, recalls, k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder) == (3, 15)
    assert cost(shape, 3, 15) < cost(shape, 2, 1280)


def test_the_lower_bound_and_not_the_mean_must_reach_the_target():
    def recalls(leaves, pre_reorder):
        wrong = {15: 4, 20: 1}.get(pre_reorder, 0)
        return np.where(np.arange(100) < wrong, 0.0, 1.0)

    chosen = choose(Shape(10_000, 8, 0), recalls, k=10, target=0.985)
    assert chosen.pre_reorder == 30
    assert chosen.recall_lower == 1.0


def test_without_a_sufficient_setting_the_best_is_kept_with_what_it_reached():
    chosen = choose(Shape(10_000, 8, 50), recall_model(100, 1, []), k=10, target=0.99)
    assert chosen.leaves_to_search == 50
    assert chosen.recall == pytest.approx(0.5)
    assert chosen.target == 0.99


@pytest.mark.parametrize(
    ("count", "algorithm", "leaves"),
    [(0, "brute_force", 0), (19_999, "brute_force", 0), (20_000, "ah", 0), (1_000_000, "tree", 2000)],
)
def test_the_algorithm_follows_from_the_count(count, algorithm, leaves):
    parameters = parameters_for(count)
    assert (parameters.algorithm, parameters.leaves) == (algorithm, leaves)
    assert parameters.training_sample <= 250_000
