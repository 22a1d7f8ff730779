"""What each kind of tuning query should find, on vectors whose neighbours are known."""

import numpy as np
import pytest

from lookalike.index.searcher import Searcher
from lookalike.index.trials import Trial, make_trials
from lookalike.store.index_manifest import IndexParameters


class Looking(Searcher):
    """Searches exactly; its approximate search gives what a test tells it to, and notes how it was asked."""

    def __init__(self, vectors, metric="cosine"):
        super().__init__(vectors, metric, IndexParameters("ah", 0, 0, 0), (), 1)
        self.asked = []
        self.missed = ()

    def approximate(self, queries, k, leaves, pre_reorder):
        self.asked.append((k, leaves, pre_reorder))
        rows, scores = self.search(queries, k + len(self.missed), exact=True)
        found = np.argsort(np.isin(rows, self.missed), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(rows, found, axis=1), np.take_along_axis(scores, found, axis=1)


def circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_member_is_not_a_hit_of_its_own():
    searcher = Looking(circle(0, 10, 20, 180))
    own = np.array([0])
    trial = Trial(searcher, searcher.vectors[own], 2, own)
    assert trial.recall(2, 0, 9).mean == 1.0
    assert trial.best.tolist() == pytest.approx([np.cos(np.radians(10))])
    searcher.missed = (2,)
    assert trial.recall(2, 0, 9).mean == 0.5
    searcher.missed = (0,)
    assert trial.recall(2, 0, 9).mean == 1.0


def test_near_copies_count_neither_as_found_nor_as_missed():
    searcher = Looking(circle(0, 1, 2, 3, 50, 60, 70))
    trial = Trial(searcher, circle(0), 2, np.array([0]), limit=float(np.cos(np.radians(20))))
    searcher.missed = (1, 2, 3)
    assert trial.recall(2, 0, 5).mean == 1.0
    searcher.missed = (4,)
    assert trial.recall(2, 0, 5).mean == 0.5
    assert trial.best.tolist() == pytest.approx([np.cos(np.radians(50))])


def test_what_does_not_count_takes_the_place_of_no_candidate():
    searcher = Looking(circle(0, 1, 2, 3, 50, 60, 70))
    trial = Trial(searcher, circle(0), 2, np.array([0]), limit=float(np.cos(np.radians(20))))
    trial.recall(2, 7, 5)
    assert searcher.asked == [(2 + 4, 7, 5 + 4)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_near_copies_of_near_copies_do_not_count_either(metric):
    """Another view of the same thing, just beyond the limit, is found by every setting."""
    searcher = Looking(circle(0, 15, 30, 60, 90, 100), metric)
    near = circle(0, 20)
    limit = float(near[0] @ near[1] if metric == "cosine" else -np.linalg.norm(near[0] - near[1]))
    trial = Trial(searcher, searcher.vectors[[0]], 2, np.array([0]), limit)
    searcher.missed = (1, 2)
    assert trial.recall(2, 0, 5).mean == 1.0
    searcher.missed = (3,)
    assert trial.recall(2, 0, 5).mean == 0.5
    assert searcher.asked == [(2 + 3, 0, 5 + 3)] * 2


def test_near_copies_of_near_copies_are_told_far_from_the_origin_too():
    searcher = Looking(circle(0, 15, 30, 60, 90, 100) + np.float32(10_000), "euclidean")
    trial = Trial(searcher, searcher.vectors[[0]], 2, np.array([0]), -0.35)
    assert trial.best.tolist() == pytest.approx([-1.0], abs=0.01)


def test_near_copies_of_near_copies_count_where_too_few_were_left():
    searcher = Looking(circle(0, 15, 30, 45, 90))
    limit = float(np.cos(np.radians(20)))
    counted = {most: Trial(searcher, circle(0), most, np.array([0]), limit) for most in (2, 3)}
    assert [one.best.tolist() for one in counted.values()] == [
        pytest.approx([np.cos(np.radians(degrees))]) for degrees in (45, 30)
    ]


def test_only_what_is_nearer_than_the_kth_has_candidates_of_its_own():
    """30 does not count, but lies behind -25, which is all that is wanted."""
    searcher = Looking(circle(0, 15, -25, 30, 60, 90))
    trial = Trial(searcher, circle(0), 2, np.array([0]), limit=float(np.cos(np.radians(20))))
    assert trial.recall(1, 7, 5).mean == trial.recall(2, 7, 5).mean == 1.0
    assert searcher.asked == [(1 + 2, 7, 5 + 2), (2 + 3, 7, 5 + 3)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_members_of_things_with_many_views_see_what_new_things_see(metric):
    """Of two views of a thing, about half are near copies; by these alone the nearest was at 0.3, not 0.5."""
    random = np.random.default_rng(0)

    def seen(things: int, views: int) -> np.ndarray:
        rows = np.repeat(random.standard_normal((things, 32)), views, axis=0)
        rows += 0.65 * random.standard_normal(rows.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    searcher = Looking(seen(60, 24), metric)
    new = Trial(searcher, seen(300, 1), 10)
    apart = {name: np.median(trial.best) for name, trial in make_trials(searcher, 10).items()}
    assert apart["without_near_copies"] == pytest.approx(np.median(new.best), abs=0.06)


def test_a_tie_with_the_kth_is_a_hit():
    searcher = Looking(circle(0, 10, -10, 180))
    trial = Trial(searcher, circle(0), 2, np.array([0]))
    assert Trial(searcher, circle(0), 1, np.array([0])).recall(1, 0, 9).mean == 1.0
    searcher.missed = (1,)
    assert trial.recall(1, 0, 9).mean == 1.0


def test_more_hits_than_asked_for_are_no_more_than_all():
    """Two tie with the nearest, and a query beside it has one that does not count more."""
    searcher = Looking(circle(0, 10, -10, 90, 91, 180))
    limit = float(np.cos(np.radians(5)))
    trial = Trial(searcher, searcher.vectors[[0, 3]], 1, np.array([0, 3]), limit)
    assert trial.recall(1, 0, 9).mean == 1.0


def test_queries_with_fewer_neighbours_than_asked_are_left_out():
    searcher = Looking(circle(0, 1, 2, 180))
    own = np.arange(4)
    trial = Trial(searcher, searcher.vectors, 2, own, limit=float(np.cos(np.radians(20))))
    # All three of the heap see one other item; the one that is alone sees three.
    assert len(trial) == 1
    assert trial.best.tolist() == pytest.approx([np.cos(np.radians(178))])


def test_queries_with_many_and_few_near_copies_are_asked_each_in_their_depth():
    heap = circle(*np.linspace(0, 2, 30), 90, 150, 210, 270)
    searcher = Looking(heap)
    trial = Trial(searcher, searcher.vectors, 2, np.arange(len(heap)), limit=float(np.cos(np.radians(20))))
    recall = trial.recall(2, 0, 5)
    assert (recall.mean, recall.queries) == (1.0, 34)
    assert searcher.asked == [(2 + 1, 0, 5 + 1), (2 + 30, 0, 5 + 30)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_kinds_lie_between_members_and_strangers(metric):
    random = np.random.default_rng(0)
    things = np.repeat(random.standard_normal((100, 16)), 8, axis=0)
    rows = things + 0.2 * random.standard_normal(things.shape)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    searcher = Looking(rows.astype(np.float32), metric)
    trials = make_trials(searcher, 10, searcher.vectors[:50])
    best = {kind: trial.best.mean() for kind, trial in trials.items()}
    assert set(best) == {"members", "without_near_copies", "isolated", "disturbed", "tuning_queries"}
    assert best["without_near_copies"] < best["disturbed"] < best["members"] < best["tuning_queries"]
    assert len(trials["members"]) == 800
    assert trials["tuning_queries"].best.tolist() == pytest.approx([1.0 if metric == "cosine" else 0.0] * 50)


def test_a_disturbed_member_lies_near_to_no_other_thing():
    random = np.random.default_rng(0)
    rows = np.repeat(random.standard_normal((100, 128)), 8, axis=0) + 0.1 * random.standard_normal((800, 128))
    searcher = Looking((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    disturbed = make_trials(searcher, 1)["disturbed"]
    of_things = (disturbed._queries @ searcher.vectors.T).reshape(800, 100, 8).max(axis=2)
    first, second = -np.sort(-of_things, axis=1)[:, :2].T
    assert np.mean(first) == pytest.approx(0.7, abs=0.05)
    assert np.mean(second) < 0.45


def test_the_tenth_around_which_there_is_least_is_a_kind_of_its_own():
    """A few that are unlike the rest, two by two, and a heap whose members all have ten neighbours at hand."""
    heap, others = circle(*np.linspace(0, 20, 180)), circle(*np.repeat(range(90, 290, 20), 2) + [0, 1] * 10)
    searcher = Looking(np.concatenate([heap, others]))
    trials = make_trials(searcher, 10)
    isolated, members = trials["isolated"], trials["members"]
    assert (len(isolated), len(members)) == (20, 200)
    searcher.missed = tuple(range(180, 200))
    assert isolated.recall(10, 0, 99).mean < 0.1
    assert members.recall(10, 0, 99).mean > 0.9
    assert isolated.recall(10, 0, 99).queries == 20


def test_those_around_which_there_is_least_keep_what_does_not_count_of_them():
    searcher = Looking(np.concatenate([circle(*np.linspace(0, 2, 30)), circle(*range(90, 290, 10))]))
    limit = float(np.cos(np.radians(5)))
    isolated = Trial(searcher, searcher.vectors, 2, np.arange(50), limit).isolated()
    assert len(isolated) == 5
    assert isolated.recall(2, 0, 5).mean == 1.0


def test_the_lower_bound_is_below_the_mean_by_its_error():
    searcher = Looking(circle(*range(0, 360, 10)))
    trial = Trial(searcher, searcher.vectors, 2, np.arange(36))
    searcher.missed = (0,)
    recall = trial.recall(2, 0, 9)
    values = np.ones(36)
    values[[1, 35]] = 0.5
    # Each has one neighbour on either side; what comes in the place of the missed one is farther.
    assert recall.mean == pytest.approx(values.mean())
    assert recall.lower == pytest.approx(values.mean() - 1.645 * values.std() / 6)
