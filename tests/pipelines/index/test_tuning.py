import numpy as np
import pytest

from lookalike.index.cheapest import build
from lookalike.index.scores import checked
from lookalike.index.tuning import (
    BuildOptions,
    Shape,
    choose,
    cost,
    depth_for,
    exact_cost,
    exactly,
    parameters_for,
    price,
    trials_for,
    tune,
    ways_to_build,
)
from lookalike.store.index_manifest import Recall, SearchSettings


def measured(recall_of, seen=()):
    """What `choose` asks, with one kind of query whose recall is `recall_of(leaves, pre_reorder)`."""

    def measure(leaves, pre_reorder, least):
        if isinstance(seen, list):
            seen.append((leaves, pre_reorder))
        recall = recall_of(leaves, pre_reorder)
        return {"members": Recall(recall, recall, 100)}

    return measure


def recall_model(leaves_needed, reorder_needed):
    return lambda leaves, pre_reorder: (
        min(1.0, max(1, leaves) / leaves_needed) * min(1.0, pre_reorder / reorder_needed)
    )


def settings_for(k, leaves, pre_reorder):
    return SearchSettings(k, leaves, pre_reorder, 0.99, {})


def test_the_cheapest_setting_that_reaches_the_target_is_chosen():
    seen = []
    chosen = choose(Shape(100_000, 64, 600), measured(recall_model(12, 40), seen), k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder, chosen.recall) == (12, 40, 1.0)
    assert len(seen) < 15


def test_more_leaves_are_weighed_against_more_candidates():
    shape = Shape(1_000_000, 64, 1000)
    enough = measured(lambda leaves, candidates: float((leaves >= 2 and candidates >= 1280) or leaves >= 3))
    chosen = choose(shape, enough, k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder) == (3, 15)
    assert cost(shape, 3, 15) < cost(shape, 2, 1280)


def test_the_lower_bound_and_not_the_mean_must_reach_the_target():
    def measure(leaves, pre_reorder, least):
        return {"members": Recall(0.99, {15: 0.95, 20: 0.98}.get(pre_reorder, 0.986), 100)}

    assert choose(Shape(10_000, 8, 0), measure, k=10, target=0.985).pre_reorder == 30


def test_the_kind_of_query_with_the_lowest_recall_decides():
    def measure(leaves, pre_reorder, least):
        fresh = 1.0 if pre_reorder >= 100 else 0.7
        return {"members": Recall(1.0, 1.0, 9), "without_near_copies": Recall(fresh, fresh, 9)}

    chosen = choose(Shape(10_000, 8, 0), measure, k=10, target=0.99)
    assert chosen.pre_reorder == 100
    assert SearchSettings(10, 0, 15, 0.99, measure(0, 15, 0)).recall == 0.7


def test_where_the_grid_ends_the_search_goes_deeper():
    chosen = choose(Shape(100_000, 64, 0), measured(recall_model(0.1, 5000)), k=10, target=0.99)
    assert chosen.pre_reorder == 5120
    assert chosen.recall == 1.0


def test_where_no_setting_suffices_all_are_compared_and_the_best_recall_is_kept():
    chosen = choose(Shape(10_000, 8, 50), measured(recall_model(100, 1)), k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder, chosen.recall) == (0, 0, 1.0)
    assert chosen.best_approximate == pytest.approx(0.5)
    assert chosen.target == 0.99


def test_a_setting_that_costs_more_than_comparing_all_is_none():
    shape = Shape(1_000, 8, 0)
    chosen = choose(shape, measured(recall_model(0.1, 400)), k=10, target=0.99)
    assert not chosen.pre_reorder
    assert cost(shape, 0, 400) > exact_cost(shape)


@pytest.mark.parametrize(
    ("k", "depth"),
    [
        (1, (4, 40)),
        (10, (4, 40)),
        (55, (7, 220)),
        (56, (8, 224)),
        (100, (10, 400)),
        (250, (25, 1000)),
    ],
)
def test_the_depth_for_a_k_lies_between_those_of_its_neighbours_and_grows_beyond_them(k, depth):
    assert depth_for([settings_for(10, 4, 40), settings_for(100, 10, 400)], k) == depth


@pytest.mark.parametrize("needed", [(1, 15), (3, 200), (12, 40), (40, 1000), (600, 60)])
def test_below_a_price_the_same_is_chosen_or_nothing_and_what_costs_more_is_not_tried(needed):
    shape = Shape(100_000, 64, 600)
    chosen = choose(shape, measured(recall_model(*needed)), k=10, target=0.99)
    least = cost(shape, chosen.leaves_to_search, chosen.pre_reorder)
    for below, expected in ((least, exactly(10, 0.99)), (np.nextafter(least, np.inf), chosen)):
        seen: list[tuple[int, int]] = []
        measure = measured(recall_model(*needed), seen)
        assert choose(shape, measure, k=10, target=0.99, below=below) == expected
        assert all(cost(shape, 1, candidates) < below for _, candidates in seen)
        assert all(cost(shape, leaves, 15) < below for leaves, _ in seen)


@pytest.mark.slow
@pytest.mark.parametrize("k", [10, 20])
def test_a_second_way_to_build_is_tuned_as_the_first_or_given_up(k):
    random = np.random.default_rng(0)
    vectors = checked(random.standard_normal((4_000, 8)).astype(np.float32), "cosine")
    options = BuildOptions(0.9, threads=2, algorithm="tree", k=k)
    searcher = build(vectors, "cosine", options)
    trials = trials_for(searcher, options)
    least = price(Shape.of(4_000, 8, searcher.parameters), searcher.settings, k)
    settings, _ = tune(searcher, options, trials, np.nextafter(least, np.inf))
    assert settings == searcher.settings
    given_up, _ = tune(searcher, options, trials, least)
    assert price(Shape.of(4_000, 8, searcher.parameters), given_up, k) >= least


def test_a_k_whose_neighbour_needs_exact_search_is_searched_exactly():
    settings = [settings_for(10, 4, 40), exactly(100, 0.99, 0.9)]
    assert depth_for(settings, 10) == (4, 40)
    assert depth_for(settings, 11) is None
    assert depth_for(settings, 1000) is None


@pytest.mark.parametrize(
    ("count", "algorithm", "leaves"),
    [(0, "brute_force", 0), (19_999, "brute_force", 0), (20_000, "ah", 0), (1_000_000, "tree", 2000)],
)
def test_the_algorithm_follows_from_the_count(count, algorithm, leaves):
    parameters = parameters_for(count)
    assert (parameters.algorithm, parameters.leaves) == (algorithm, leaves)
    assert parameters.training_sample <= 250_000


def test_a_tree_without_codes_has_only_leaves_to_choose():
    seen = []
    shape = Shape(100_000, 64, 600, codes=False)
    chosen = choose(shape, measured(recall_model(12, 10), seen), k=10, target=0.99)
    assert (chosen.leaves_to_search, chosen.pre_reorder) == (12, 10)
    assert {pre_reorder for _, pre_reorder in seen} == {10}
    everything = choose(shape, measured(lambda leaves, _: float(leaves == 600)), k=10, target=0.99)
    assert everything.leaves_to_search == 600


def test_few_leaves_are_cheaper_to_compare_than_to_look_up_and_many_dearer():
    with_codes, without = Shape(200_000, 256, 894), Shape(200_000, 256, 894, codes=False)
    assert cost(without, 1, 10) < cost(with_codes, 1, 60)
    assert cost(without, 200, 10) > cost(with_codes, 200, 60)
    assert price(without, (settings_for(10, 1, 10),), 10) == cost(without, 1, 10)
    assert price(without, (exactly(10, 0.99),), 10) == exact_cost(without)


@pytest.mark.parametrize(
    ("count", "metric", "options", "algorithms"),
    [
        (100_000, "cosine", BuildOptions(), ["flat_tree", "tree"]),
        (20_000, "cosine", BuildOptions(), ["flat_tree", "tree"]),
        (20_000, "euclidean", BuildOptions(), ["ah"]),
        (19_999, "cosine", BuildOptions(), ["brute_force"]),
        (100_000, "euclidean", BuildOptions(), ["tree"]),
        (100_000, "cosine", BuildOptions(bytes="int8"), ["tree"]),
        (100_000, "cosine", BuildOptions(algorithm="ah"), ["ah"]),
    ],
)
def test_a_large_index_may_be_built_in_two_ways(count, metric, options, algorithms):
    ways = ways_to_build(count, metric, options)
    assert [way.algorithm for way in ways] == algorithms
    assert {way.leaves > 0 for way in ways} == {"tree" in name for name in algorithms}
    assert {way.bytes for way in ways} == {options.bytes}


def things(count, views, dim=16, spread=0.25, seed=0):
    """Vectors of `count` things, each seen in so many views: a catalogue whose items have near copies."""
    random = np.random.default_rng(seed)
    rows = np.repeat(random.standard_normal((count, dim)), views, axis=0)
    rows += spread * random.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("algorithm", ["ah", "tree"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_things_that_the_catalogue_does_not_hold_are_found_as_well_as_the_target_says(metric, algorithm):
    built = build(things(250, 16), metric, BuildOptions(recall_target=0.95, threads=2, algorithm=algorithm))
    queries = things(300, 1, seed=1)
    for k in (10, 100):
        found, _ = built.search(queries, k)
        exact, _ = built.search(queries, k, exact=True)
        assert (found[:, :, None] == exact[:, None]).any(axis=2).mean() >= 0.93
    assert [settings.k for settings in built.settings] == [10, 100]
    assert all(
        set(s.recalls) == {"members", "without_near_copies", "isolated", "disturbed"} for s in built.settings
    )


def test_queries_of_a_small_part_that_is_unlike_the_rest_are_found_too():
    random = np.random.default_rng(2)
    plane = random.standard_normal((1900, 4)) @ random.standard_normal((4, 32))
    rows = np.concatenate([plane, random.standard_normal((100, 32))])
    queries = checked(random.standard_normal((200, 32)), "cosine")
    built = build(rows, "cosine", BuildOptions(recall_target=0.95, threads=2, algorithm="ah"))
    found, _ = built.search(queries, 10)
    exact, _ = built.search(queries, 10, exact=True)
    assert (found[:, :, None] == exact[:, None]).any(
        axis=2
    ).mean() >= 0.9  # 0.83 by the mean over all members


def test_new_pictures_of_things_like_those_of_the_catalogue_are_not_far():
    built = build(things(250, 16), "cosine", BuildOptions(recall_target=0.9, threads=2, algorithm="ah"))
    best = built.search(things(300, 1, seed=1), 1, exact=True)[1]
    assert (best < built.farthest).mean() < 0.1
    assert built.farthest > 0


def test_the_largest_k_that_the_job_is_configured_for_is_tuned_too():
    built = build(
        things(250, 16), "cosine", BuildOptions(recall_target=0.9, threads=2, algorithm="ah", k=200)
    )
    assert [settings.k for settings in built.settings] == [10, 100, 200]


def test_queries_of_the_user_decide_too():
    options = BuildOptions(recall_target=0.95, threads=2, algorithm="ah")
    vectors, far = things(250, 16), things(200, 1, seed=7, spread=3.0)
    alone, asked = build(vectors, "cosine", options), build(vectors, "cosine", options, far)
    assert asked.settings[0].recalls["tuning_queries"].queries == 200
    assert asked.settings[0].recalls["tuning_queries"].lower >= 0.95
    assert asked.settings[0].pre_reorder >= alone.settings[0].pre_reorder


def test_pictures_that_no_code_tells_apart_are_compared_one_by_one():
    """As of 20,500 small pictures of random colours, for which no night would have been published."""
    rows = np.random.default_rng(0).standard_normal((600, 128)).astype(np.float32)
    built = build(rows, "cosine", BuildOptions(recall_target=1.0, threads=2, algorithm="ah"))
    assert built.parameters.algorithm == "brute_force"
    assert built.scann is None
    assert all(s.best_approximate is not None for s in built.settings)
    assert built.settings[0].recall == 1.0
