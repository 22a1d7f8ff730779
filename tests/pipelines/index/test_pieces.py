"""Pieces of a search: however shards, queries and memory are divided, the answers of everything at once."""

from __future__ import annotations

import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index import pieces
from lookalike.index.answers import ask
from lookalike.index.pieces import (
    Question,
    Search,
    SearchPiece,
    divided,
    fitting,
    read_ids,
    read_merged,
    write_ids,
)
from lookalike.index.post_processing import Asked
from lookalike.index.query_blocks import QueryBlock, write_queries
from lookalike.model.errors import LookalikeError
from lookalike.runner.work_list import write_work_list
from lookalike.runner.workers import in_workers
from lookalike.store.generation import IndexRef
from tests.support.index_shards import shard_of, stored_shard

DIM = 5


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def published(store, name, ids, vectors, metric):
    return stored_shard(
        store, name, ids, vectors, metric, place=pa.array([f"of {i}" for i in ids], pa.string())
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_any_division_of_shards_queries_and_memory_answers_as_all_in_one(metric, data):
    count = data.draw(st.integers(1, 40))
    vectors = rows(count)
    if data.draw(st.booleans()):  # copies, and so ties
        vectors = vectors[np.random.default_rng(count).integers(0, count, count)]
    ids = [f"{(i * 7919) % 1000:x}é{i}" for i in range(count)]
    number = data.draw(st.integers(1, 5))
    of = np.array(data.draw(st.lists(st.integers(0, number - 1), min_size=count, max_size=count)))
    queries, names = np.concatenate([rows(9, 1), vectors[:2]]), [f"q{i}" for i in range(9)] + ids[:2]
    excluded = pa.array(sorted(data.draw(st.sets(st.sampled_from(ids), max_size=4))), pa.string())
    asked = Asked(data.draw(st.integers(1, 12)), exclude_self=data.draw(st.booleans()), exact=True)
    whole = shard_of(ids, vectors, metric, place=pa.array([f"of {i}" for i in ids]))
    skip = names[: len(queries)] if asked.exclude_self else None
    expected = ask([whole], queries, asked.k, exact=True, excluded=excluded, skip=skip)
    with tempfile.TemporaryDirectory() as store:
        refs = [
            published(store, f"{n}", [ids[i] for i in np.flatnonzero(of == n)], vectors[of == n], metric)
            for n in range(number)
        ]
        block = data.draw(st.integers(1, 12))
        with write_queries(f"{store}/queries", DIM) as add:
            for start in range(0, len(queries), block):
                part = slice(start, start + block)
                add(QueryBlock(names[part], queries[part], np.arange(len(queries))[part]))
        write_ids(f"{store}/excluded", excluded)
        sets = divided(refs, data.draw(st.integers(1, 6)))
        pieces = [
            SearchPiece(tuple(of_set), (Question((f"{store}/queries",), f"{store}/answers/{n}"),))
            for n, of_set in enumerate(sets)
        ]
        search = Search(store, asked, memory=data.draw(st.integers(1, 20_000)), excluded=f"{store}/excluded")
        as_json = (piece.to_json() for piece in pieces)
        work = write_work_list(f"{store}/work", as_json, len(pieces), SearchPiece.from_json, 2)
        in_workers("Search", search, work, ())
        found = list(read_merged([f"{store}/answers/{n}" for n in range(len(sets))], asked.k))
        near = np.concatenate([part.near for part in found])
        items = pa.concat_tables([part.items for part in found])
    np.testing.assert_array_equal(near[:, : expected.near.shape[1]], expected.near)
    assert items.to_pylist() == expected.items.to_pylist()


def test_shards_of_two_encoders_are_not_asked_though_they_are_never_open_together(tmp_path):
    refs = [
        published(tmp_path, "a", ["a"], rows(1), "cosine"),
        published(tmp_path, "b", ["b"], rows(1), "euclidean"),
    ]
    with pytest.raises(LookalikeError, match="Expected index shards of one metric"):
        fitting(str(tmp_path), refs, 1)


def test_what_was_answered_already_is_not_answered_again(tmp_path):
    (tmp_path / "answers").write_bytes(b"of a worker before")
    piece = SearchPiece((IndexRef("gone", "", 1, "ah", 1.0),), (Question(("gone",), f"{tmp_path}/answers"),))
    Search(str(tmp_path), Asked(1))([piece])
    assert (tmp_path / "answers").read_bytes() == b"of a worker before"


def test_of_a_piece_that_was_interrupted_the_rest_is_answered(tmp_path):
    ref = published(tmp_path, "a", ["a"], rows(1), "cosine")
    with write_queries(f"{tmp_path}/queries", DIM) as add:
        add(QueryBlock(["q"], rows(1), np.arange(1)))
    questions = tuple(Question((f"{tmp_path}/queries",), f"{tmp_path}/answers/{n}") for n in range(2))
    for asked in (questions[:1], questions):
        Search(str(tmp_path), Asked(1))([SearchPiece((ref,), asked)])
    (found,) = read_merged([f"{tmp_path}/answers/1"], 1)
    assert found.items["item_id"].to_pylist() == ["a"]


def test_index_shards_are_divided_evenly_and_in_order():
    assert [list(part) for part in divided("abcdefg", 3)] == [["a", "b"], ["c", "d"], ["e", "f", "g"]]
    assert [list(part) for part in divided("ab", 9)] == [["a"], ["b"]]


def test_ids_go_to_workers_as_they_are(tmp_path):
    ids = pa.array(["ü", "", "b"])
    write_ids(f"{tmp_path}/ids", ids)
    assert read_ids(f"{tmp_path}/ids").equals(ids)


def _failing(elements):
    raise OSError(28, "No space left on device", "/full")


@pytest.mark.parametrize(("flags", "error"), [((), OSError), (("--runner=DirectRunner",), LookalikeError)])
def test_a_full_disk_is_a_sentence_from_a_worker_too(tmp_path, flags, error):
    work = write_work_list(str(tmp_path), [1], 1, int)
    with pytest.raises(error, match="No space left on device"):
        in_workers("Fail", _failing, work, flags)


@pytest.mark.parametrize("exact", [False, True])
def test_as_many_shards_are_open_at_once_as_are_asked_for_and_no_more(tmp_path, monkeypatch, exact):
    refs = [published(tmp_path, f"{n}", [f"{n}"], rows(1, n), "cosine") for n in range(3)]
    asked = []
    monkeypatch.setattr(pieces, "memory_of", lambda _, *, exact: asked.append(exact) or 10)
    opened = []
    usual = pieces.opened_in_turn
    monkeypatch.setattr(pieces, "opened_in_turn", lambda s, groups: opened.append(groups) or usual(s, groups))
    Search(str(tmp_path), Asked(1, exact=exact), memory=25)([SearchPiece(tuple(refs), ())])
    assert asked == [exact] * 3
    assert [len(group) for group in opened[0]] == [2, 1]
    assert [len(group) for group in fitting(str(tmp_path), refs, 30)] == [3]
