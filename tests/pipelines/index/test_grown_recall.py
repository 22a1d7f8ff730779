"""The recall of an index shard and its addition, against what a search in both finds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.index import grown_recall
from lookalike.index.grown_recall import lowest_recalls
from lookalike.index.search import search
from lookalike.index.shard import IndexShard, ShardContent, in_memory
from lookalike.index.trials import Trial
from lookalike.index.tuning import BuildOptions
from lookalike.store.index_manifest import Recall

NOTHING = np.empty(0, np.int64)
DIM = 16


def clustered(count: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((60, DIM))
    return (centres[chance.integers(0, 60, count)] + 0.6 * chance.standard_normal((count, DIM))).astype(
        np.float32
    )


def shard(vectors: np.ndarray, name: str, algorithm=None, asked=None) -> IndexShard:
    items = pa.table({"item_id": pa.array((f"{name}{n:05}" for n in range(len(vectors))), pa.string())})
    content = ShardContent(items, vectors, "cosine", "encoder")
    return in_memory(content, BuildOptions(0.9, threads=1, algorithm=algorithm), asked)


@pytest.fixture(scope="module")
def base():
    made = shard(clustered(1500, 1), "a", "ah")
    assert all(one.pre_reorder for one in made.searcher.settings)
    return made


@pytest.fixture(scope="module")
def addition():
    return shard(clustered(150, 2), "b")


def recorded(base: IndexShard) -> dict[str, float]:
    settings = base.searcher.settings
    return {kind: min(one.recalls[kind].mean for one in settings) for kind in settings[0].recalls}


def test_an_index_shard_that_is_searched_exactly_has_none(addition):
    assert lowest_recalls(addition, NOTHING, addition) == {}


def test_without_new_items_it_is_what_was_measured_before(base):
    empty = shard(clustered(0, 2), "b")
    assert lowest_recalls(base, np.arange(100), empty) == pytest.approx(recorded(base))


def test_what_new_items_find_weighs_as_much_as_they_are(base, addition, monkeypatch):
    monkeypatch.setattr(Trial, "recall", lambda *_: Recall(0.5, 0.4, 50))
    found = lowest_recalls(base, np.arange(150), addition)
    assert found == pytest.approx({kind: 0.9 * mean + 0.1 * 0.5 for kind, mean in recorded(base).items()})


def test_it_is_close_to_what_members_of_both_find_in_a_search(base, addition):
    hidden = np.arange(0, 1500, 20)
    served = IndexShard(base.searcher, base.items, base.manifest, hidden=hidden)
    queries = np.concatenate([base.searcher.vectors[served.shown], addition.searcher.vectors])
    ids = [*base.item_ids.take(pa.array(served.shown)).to_pylist(), *addition.item_ids.to_pylist()]
    some = np.arange(0, len(queries), 3)
    asked = {"queries": queries[some], "k": 10, "skip": [ids[n] for n in some]}
    exact, found = (search([served, addition], **asked, exact=exact) for exact in (True, False))
    least = exact.score[exact.rank == 10]
    recall = float((found.score >= least[found.query]).mean())
    assert lowest_recalls(base, hidden, addition)["members"] == pytest.approx(recall, abs=0.03)


def test_hidden_vectors_take_no_places_and_the_addition_is_asked_for_itself(base, addition):
    near = np.argsort(-(base.searcher.vectors @ base.searcher.vectors[0]))
    hidden = np.sort(near[:40])
    together = grown_recall._Together(base, hidden, addition)
    assert len(together) == 1500 - 40 + 150
    queries = base.searcher.vectors[:1]
    places, scores = together.approximate(queries, 10, 0, 200)
    exact, of_exact = together.search(queries, 10)
    best = np.sort(scores[places >= 0])[::-1][:10]
    np.testing.assert_allclose(best, of_exact[0], atol=1e-5)
    assert set(exact[0]) <= set(places[0])


def test_some_of_the_new_items_are_asked_spread_over_all(base, addition):
    numbers = grown_recall._Together(base, NOTHING, addition).some_added()
    assert (len(numbers), numbers[0], numbers[-1]) == (50, 1500, 1649)


@pytest.mark.parametrize("new", [150, 0])
def test_the_users_queries_are_asked_again_as_a_whole(new, addition):
    queries = clustered(200, 3)
    base = shard(clustered(1500, 1), "a", "ah", queries)
    beside = addition if new else shard(clustered(0, 2), "b")
    hidden = np.arange(0, 1500, 5)
    before = recorded(base)
    found = lowest_recalls(base, hidden, beside, queries)
    assert found["tuning_queries"] != before["tuning_queries"]
    served = [IndexShard(base.searcher, base.items, base.manifest, hidden=hidden), beside]
    exact, answered = (search(served, queries, 10, exact=exact) for exact in (True, False))
    recall = float((answered.score >= exact.score[exact.rank == 10][answered.query]).mean())
    assert found["tuning_queries"] == pytest.approx(recall, abs=0.03)
    if not new:
        assert {kind: found[kind] for kind in before if kind != "tuning_queries"} == {
            kind: before[kind] for kind in before if kind != "tuning_queries"
        }


def test_the_users_queries_are_not_averaged_with_what_they_found_before(addition, monkeypatch):
    queries = clustered(50, 3)
    base = shard(clustered(1500, 1), "a", "ah", queries)
    monkeypatch.setattr(Trial, "recall", lambda *_: Recall(0.5, 0.4, 50))
    assert lowest_recalls(base, NOTHING, addition, queries)["tuning_queries"] == 0.5
