from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from lookalike.duplicates.catalogues import (
    Catalogue,
    check_comparable,
    items_behind,
    numbered,
    shown_vectors,
)
from lookalike.model.errors import LookalikeError
from tests.support.numbered_shards import numbered_shards, unit

NOTHING = pa.array([], pa.string())


def test_items_of_paired_vectors_and_of_those_that_have_several(tmp_path) -> None:
    one = unit([[1, 0], [0, 1], [1, 0], [1, 1]])
    two = unit([[1, 0.1], [0, -1]])
    shards = numbered_shards(tmp_path, [(list("abcd"), one), (list("ef"), two)])
    assert [one.first_vector for one in shards] == [0, 3]
    tables = list(items_behind(shards, [NOTHING], np.array([3]), None))
    assert [table["item_id"].to_pylist() for table in tables] == [["a", "c"], ["e"]]
    assert tables[1]["vector"].to_pylist() == [3]
    assert tables[1]["item"].to_pylist() == [4]


def test_what_is_taken_down_is_no_item_and_has_no_vector(tmp_path) -> None:
    (shard,) = numbered_shards(tmp_path, [(list("abc"), unit([[1, 0], [1, 0], [0, 1]]))])
    gone = pa.array(["b", "c"])
    assert shown_vectors(shard.open(), gone).tolist() == [True, False]
    (table,) = items_behind([shard], [gone], np.array([0, 1]), None)
    assert table["item_id"].to_pylist() == ["a"]


def test_items_are_numbered_over_all_index_shards_and_each_side_has_its_own_taken_down(tmp_path) -> None:
    copies = unit([[1, 0], [1, 0]])
    shards = numbered_shards(tmp_path, [(["a", "b"], copies), (["c", "d"], copies)])
    catalogue = Catalogue(
        SimpleNamespace(store=str(tmp_path)), SimpleNamespace(indexes=[one.ref for one in shards]), NOTHING
    )
    assert numbered([catalogue]) == list(shards)
    assert [(one.first_vector, one.first_item) for one in shards] == [(0, 0), (1, 2)]
    against = [shards[0], replace(shards[1], side=1)]
    tables = list(items_behind(against, [pa.array(["c"]), pa.array(["a", "d"])], np.array([0, 1]), None))
    assert [table["item_id"].to_pylist() for table in tables] == [["a", "b"], ["c"]]
    assert [table["item"].to_pylist() for table in tables] == [[0, 1], [2]]


def test_a_field_that_a_shard_has_not_is_null(tmp_path) -> None:
    shards = numbered_shards(tmp_path, [(["a", "b"], unit([[1, 0], [1, 0]]))])
    (table,) = items_behind(shards, [NOTHING], np.array([0]), pa.field("price", pa.float64()))
    assert table["field"].to_pylist() == [None, None]


def test_catalogues_of_two_encoders_are_refused() -> None:
    one = SimpleNamespace(encoder="a" * 64, metric="cosine", dim=16)
    check_comparable(one, one)
    with pytest.raises(LookalikeError, match=r"of one encoder.* Received: a{16} and, in --against, b{16}"):
        check_comparable(one, SimpleNamespace(encoder="b" * 64, metric="cosine", dim=16))
    with pytest.raises(LookalikeError, match="of one metric"):
        check_comparable(one, SimpleNamespace(encoder="a" * 64, metric="euclidean", dim=16))
