"""Which index shards of a night are there, which grow, and which are built anew."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookalike.index import making
from lookalike.index.inputs import number_of
from lookalike.index.making import Made, make_indexes
from tests.support.growing import GrowingStore, Row

DIM = 3
NAMES = {n: [name for name in "abcdefghijkl" if number_of(name, 2) == n][:2] for n in (0, 1)}
"""Number of an index shard of two -> two image shards of it."""


class Store:
    """Nights of a store: a corpus of ten items in each of two index shards, more or less."""

    def __init__(self, root, grow: float = 0.2) -> None:
        self.store = GrowingStore(root, DIM)
        self.config: Any = SimpleNamespace(
            store=str(root),
            index=SimpleNamespace(grow=grow, recall_target=0.9),
            gates=SimpleNamespace(min_recall=None),
        )
        self.served: Any = None
        self.corpus: dict[str, list[Row]] = {}
        for n in (0, 1):
            self.put(n, 10)

    def put(self, number: int, items: int, first: int = 0) -> None:
        """Gives an index shard so many items, of one picture each."""
        name = NAMES[number][0]
        self.corpus[name] = [
            (f"{number}-{i}", np.random.default_rng(i).standard_normal(DIM), None)
            for i in range(first, first + items)
        ]

    def night(self, tune=None, flags=(), **options: Any) -> Made:
        tasks = self.store.tasks(self.corpus, **{"shards": 2} | options)
        made = make_indexes(self.config, tasks, self.served, tune, flags)
        self.served = SimpleNamespace(
            indexes=made.indexes, index_shards=[ref for ref in made.indexes if ref.added_to is None]
        )
        return made

    def sizes(self) -> list[tuple[int, int]]:
        """Items and hidden ones of each index shard and addition."""
        return [(ref.count, ref.hidden.count if ref.hidden else 0) for ref in self.served.indexes]


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.night()
    return made


def counts(made: Made) -> tuple[int, int]:
    return made.built, made.grown


def test_an_index_shard_grows_while_the_fraction_allows_and_then_is_built_anew(store):
    assert store.sizes() == [(10, 0), (10, 0)]
    store.put(0, 11)
    assert counts(store.night()) == (0, 1)
    assert store.sizes() == [(10, 0), (1, 0), (10, 0)]
    store.put(0, 10, first=1)
    assert counts(store.night()) == (0, 1)
    assert store.sizes() == [(9, 1), (1, 0), (10, 0)]
    store.put(0, 13)
    assert counts(store.night()) == (1, 0)
    assert store.sizes() == [(13, 0), (10, 0)]


def test_an_addition_stands_behind_the_index_shard_that_it_names(store):
    store.put(1, 11)
    store.night()
    _, base, addition = store.served.indexes
    assert (addition.added_to, addition.path.endswith("-added")) == (base.path, True)
    assert base.hidden.path == f"{addition.path}/hidden.npy"


def test_the_same_night_again_makes_nothing(store):
    store.put(0, 11)
    store.night()
    before = store.served.indexes
    assert counts(store.night()) == (0, 0)
    assert store.served.indexes == before


def test_what_is_as_an_index_shard_was_built_needs_no_addition(store):
    store.put(0, 11)
    store.night()
    store.put(0, 10)
    assert counts(store.night()) == (0, 0)
    assert store.sizes() == [(10, 0), (10, 0)]


def test_where_all_grow_one_is_built_anew_each_night(store):
    store.put(0, 13)
    store.put(1, 14)
    assert counts(store.night()) == (0, 2)
    store.put(0, 12)
    assert counts(store.night()) == (1, 1)
    assert store.sizes() == [(10, 0), (2, 0), (14, 0)]


def test_an_index_shard_that_grew_by_twice_the_fraction_does_not_wait(store):
    store.put(0, 15)
    store.put(1, 15)
    assert counts(store.night()) == (2, 0)


def test_with_a_fraction_of_zero_nothing_grows(tmp_path):
    store = Store(tmp_path, grow=0.0)
    store.night()
    store.put(0, 11)
    assert counts(store.night()) == (1, 0)


@pytest.mark.parametrize("change", [{"decided_by": "other settings"}, {"shards": 1}])
def test_other_settings_and_another_number_of_index_shards_build_anew(store, change):
    store.put(0, 11)
    made = store.night(**change)
    assert made.grown == 0
    assert made.built == len(made.indexes)


@pytest.mark.parametrize("lost", ["base", "addition"])
def test_what_was_lost_is_made_again(store, lost):
    store.put(0, 11)
    store.night()
    base, addition, _ = store.served.indexes
    shutil.rmtree(store.store.root / (base if lost == "base" else addition).path)
    assert counts(store.night()) == ((1, 0) if lost == "base" else (0, 1))
    assert sum(count for count, _ in store.sizes()) == 21


@pytest.mark.parametrize(("gate", "least"), [(None, 0.9), (0.5, 0.9), (0.95, 0.95)])
def test_what_grew_must_have_the_recall_that_is_aimed_at_and_that_the_gate_asks_for(
    store, monkeypatch, gate, least
):
    asked = []
    monkeypatch.setattr(making, "grow", lambda task: asked.append(task.least))
    store.config.gates.min_recall = gate
    store.put(0, 11)
    store.night()
    assert asked == [least]


@pytest.mark.slow
def test_workers_of_a_runner_do_the_same(store):
    store.put(0, 11)
    store.put(1, 20)
    assert counts(store.night(flags=("--runner=DirectRunner",))) == (1, 1)
    assert store.sizes() == [(10, 0), (1, 0), (20, 0)]


def test_queries_to_tune_with_are_asked_for_only_where_something_is_made(store):
    asked: list[int] = []

    def tune() -> np.ndarray:
        asked.append(1)
        return np.eye(DIM, dtype=np.float32)

    store.night(tune)
    assert asked == []
    store.put(0, 11)
    store.night(tune, tuned=True)
    assert asked == [1]
    store.night(tune, tuned=True)
    assert asked == [1]
