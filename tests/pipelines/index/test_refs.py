"""How a generation names what workers left."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from lookalike.index.growth import grow
from lookalike.index.refs import BASE, grown_refs, index_ref, ref_of
from lookalike.model.errors import LookalikeError
from lookalike.store.generation import IndexRef
from lookalike.store.index_manifest import IndexManifest, IndexParameters, Recall, SearchSettings
from tests.support.growing import GrowingStore


def manifest(*settings: SearchSettings) -> IndexManifest:
    return IndexManifest(2, "cosine", 8, 20_000, "e", IndexParameters("ah", 0, 1, 0), settings, "1.3.4", {})


def test_the_lowest_recall_of_any_k_and_kind_is_named():
    one = SearchSettings(
        10, 0, 50, 0.9, {"members": Recall(0.99, 0.98, 9), "disturbed": Recall(0.97, 0.96, 9)}
    )
    other = SearchSettings(100, 0, 50, 0.9, {"members": Recall(0.95, 0.94, 9)}, None)
    exact = SearchSettings(200, 0, 0, 0.9, {}, 0.8)
    ref = ref_of("indexes/0", "1" * 64, manifest(one, other, exact))
    assert (ref.recall, ref.recalls) == (0.95, {"members": 0.95, "disturbed": 0.97})
    assert (ref.count, ref.algorithm, ref.best_approximate) == (20_000, "ah", 0.8)


@pytest.fixture
def grown(tmp_path):
    store = GrowingStore(tmp_path, 2)
    rows = [(f"i{n}", np.array([1, n]), None) for n in range(4)]
    (before,), (after,) = store.tasks({"a": rows}), store.tasks({"a": [*rows[1:], ("new", [1, 9], None)]})
    store.built(before)
    growing = store.growth(after, before)
    assert grow(growing) == 2
    return store, growing


def test_an_addition_names_the_index_shard_with_what_is_hidden_of_it(grown):
    store, growing = grown
    base, addition = grown_refs(str(store.root), growing.path)
    built = index_ref(str(store.root), base.path)
    assert (built.count, base.count, base.hidden.count, addition.count) == (4, 3, 1, 1)
    assert dataclasses.replace(base, count=4, hidden=None, decided_by=None) == built
    assert addition.added_to == base.path
    assert IndexRef.from_json(json.loads(json.dumps(dataclasses.asdict(base)))) == base


def test_a_damaged_name_is_refused(grown):
    store, growing = grown
    path = store.root / growing.path / BASE
    path.write_text(path.read_text().replace('"count": 3', '"count": 4'))
    with pytest.raises(LookalikeError, match=r"damaged: .*base\.json"):
        grown_refs(str(store.root), growing.path)
