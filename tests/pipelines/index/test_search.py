import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.index.search import search, take_items
from lookalike.index.shard import ShardContent, open_index_shard, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.model.errors import LookalikeError

DIM = 6


def random_rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def shard_of(ids, vectors, metric="cosine", fingerprint="abc", algorithm=None, **columns):
    # Random rows are as far from each other as from any query: a target of 0.99 would end in exact search.
    options = BuildOptions(recall_target=0.5, algorithm=algorithm)
    items = pa.table({"item_id": pa.array(ids, pa.string())} | columns)
    with tempfile.TemporaryDirectory() as folder:
        write_index_shard(folder, ShardContent(items, vectors, metric, fingerprint), options)
        return open_index_shard(folder)


def answers(shards, matches):
    ids = take_items(shards, matches)["item_id"].to_pylist()
    found = {}
    for query, rank, item, score in zip(matches.query, matches.rank, ids, matches.score, strict=True):
        found.setdefault(int(query), []).append(item)
        assert rank == len(found[int(query)])
        assert np.isfinite(score)
    return found


def by_numpy(ids, vectors, queries, k, metric):
    order = {}
    for number, query in enumerate(queries.astype(np.float64)):
        if metric == "cosine":
            far = -(vectors @ query) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        else:
            far = np.linalg.norm(vectors - query, axis=1)
        ranked = sorted(zip(np.round(far, 6), [i.encode() for i in ids], strict=True))
        order[number] = [item.decode() for _, item in ranked[:k]]
    return order


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_any_division_into_shards_answers_like_one_shard(metric, exact, data):
    count = data.draw(st.integers(1, 40))
    distinct = random_rows(data.draw(st.integers(1, 8))) if data.draw(st.booleans()) else random_rows(count)
    which = np.random.default_rng(count).integers(0, len(distinct), count)
    vectors = distinct[which]
    ids = [f"{(i * 7919) % 1000:x}é{i}" for i in range(count)]
    shard_of_item = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    k = data.draw(st.integers(1, 12))
    queries = np.concatenate([random_rows(3, seed=1), vectors[:1]])
    shards = [
        shard_of([ids[i] for i in np.flatnonzero(shard_of_item == s)], vectors[shard_of_item == s], metric)
        for s in range(4)
    ]
    matches = search(shards, queries, k, exact=exact)
    assert answers(shards, matches) == by_numpy(ids, vectors, queries, k, metric)
    one = search([shard_of(ids, vectors, metric)], queries, k, exact=exact)
    np.testing.assert_array_equal(matches.score, one.score)
    back = shards[::-1]
    assert answers(back, search(back, queries, k, exact=exact)) == answers(shards, matches)


@pytest.mark.parametrize(("metric", "parts"), [("cosine", 1), ("cosine", 3), ("euclidean", 3)])
@pytest.mark.parametrize("algorithm", ["brute_force", "ah", "tree"])
def test_ties_across_the_kth_place_are_broken_by_id(metric, algorithm, parts):
    vectors = random_rows(2000)
    copies = np.random.default_rng(5).permutation(2000)[:150]
    vectors[copies] = vectors[copies[0]]
    ids = np.array([f"{i * 7919 % 2003:04d}" for i in range(2000)])
    shards = [
        shard_of(ids[part::parts].tolist(), vectors[part::parts], metric, algorithm=algorithm)
        for part in range(parts)
    ]
    assert {shard.manifest.parameters.algorithm for shard in shards} == {algorithm}
    queries = np.concatenate([vectors[copies[:2]], random_rows(50, seed=1), vectors[copies[:1]] * 1.01])
    matches = search(shards, queries, 10)
    found = answers(shards, matches)
    first = sorted(ids[copies])[:10]
    for query in (0, 1, 52):
        assert found[query] == first
        assert len(np.unique(matches.score[matches.query == query])) == 1
    assert all(len(items) == 10 for items in found.values())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_different_vectors_at_one_distance_are_ordered_by_id_however_many_there_are(metric, exact):
    """Copies are one vector; these are not, and more of them tie than are asked for at first."""
    axes = np.concatenate([np.eye(DIM - 1), -np.eye(DIM - 1)])
    vectors = np.concatenate([np.full((10, 1), 0.75), axes * 0.6614378], axis=1).astype(np.float32)
    ids = [f"{i * 7 % 10}" for i in range(10)]
    parts = (slice(0, 4), slice(4, 10))
    # The second is nearest to one of them.
    queries = np.stack([np.eye(DIM)[0], vectors[3] + 0.01 * np.arange(DIM)]).astype(np.float32)
    for shards in ([shard_of(ids, vectors, metric)], [shard_of(ids[p], vectors[p], metric) for p in parts]):
        for k in (1, 3, 8):
            matches = search(shards, queries, k, exact=exact)
            assert matches.query.tolist() == [0] * k + [1] * k
            found = answers(shards, matches)
            assert found[0] == sorted(ids)[:k]
            assert found[1][0] == ids[3]
            expected = 0.75 if metric == "cosine" else np.sqrt(0.25**2 + 0.6614378**2)
            np.testing.assert_allclose(matches.score[:k], expected, rtol=1e-5)


def test_excluded_items_never_appear_and_their_places_are_filled():
    vectors, queries = random_rows(300), random_rows(20, seed=1)
    ids = [f"{i:03d}" for i in range(300)]
    shards = [shard_of(ids[:200], vectors[:200]), shard_of(ids[200:], vectors[200:])]
    whole = answers(shards, search(shards, queries, 40))
    gone = frozenset(whole[0][:35]) | {"unknown"}
    found = answers(shards, search(shards, queries, 10, excluded=gone))
    assert found == {q: [i for i in items if i not in gone][:10] for q, items in whole.items()} | {
        0: found[0]
    }
    assert found[0][:5] == whole[0][35:]
    assert len(found[0]) == 10
    all_gone = search(shards, queries, 10, excluded=pa.array(ids))
    assert len(all_gone.query) == 0


def test_a_query_leaves_out_the_item_it_is_told_to_skip():
    vectors = random_rows(100)
    ids = [f"{i:02d}" for i in range(100)]
    shards = [shard_of(ids[:50], vectors[:50]), shard_of(ids[50:], vectors[50:])]
    whole = answers(shards, search(shards, vectors[40:60], 6))
    skip = [*ids[40:59], None]
    found = answers(shards, search(shards, vectors[40:60], 5, skip=skip))
    assert all(whole[q][0] == ids[40 + q] for q in range(20))
    assert found == {q: whole[q][1:] if q < 19 else whole[q][:5] for q in range(20)}


def test_fewer_items_than_k_give_fewer_matches_in_query_order():
    shards = [shard_of(["b"], random_rows(1)), shard_of([], random_rows(0)), shard_of(["a"], random_rows(1))]
    matches = search(shards, random_rows(3, seed=1), 5)
    assert matches.query.tolist() == [0, 0, 1, 1, 2, 2]
    assert matches.rank.tolist() == [1, 2] * 3
    assert answers(shards, matches) == {query: ["a", "b"] for query in range(3)}


def test_no_queries_and_no_items_give_empty_matches():
    shard, empty = shard_of(["a"], random_rows(1)), shard_of([], random_rows(0))
    for shards, queries in (
        ([shard], random_rows(0)),
        ([empty], random_rows(2)),
        ([empty, shard], random_rows(0)),
    ):
        matches = search(shards, queries, 5)
        assert take_items(shards, matches).num_rows == len(matches.query) == 0


def test_blocks_of_queries_do_not_change_the_answer(monkeypatch):
    vectors = np.repeat(random_rows(20), 5, axis=0)
    shard = shard_of([f"{i:02d}" for i in range(100)], vectors)
    queries = np.concatenate([vectors[:10], random_rows(30, seed=1)])
    whole = search([shard], queries, 7)
    monkeypatch.setattr("lookalike.index.nearest._CANDIDATES", 40)
    parts = search([shard], queries, 7)
    for name in ("query", "rank", "shard", "row", "score"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_matches_take_their_metadata_from_the_right_shard():
    vectors = random_rows(30)
    shards = [
        shard_of(
            [f"{i}" for i in part], vectors[list(part)], price=pa.array([i * 10 for i in part], pa.int32())
        )
        for part in (range(10), range(10, 30))
    ]
    table = take_items(shards, search(shards, random_rows(4, seed=1), 30))
    assert table.schema == shards[0].items.schema
    assert [int(i) * 10 for i in table["item_id"].to_pylist()] == table["price"].to_pylist()
    assert table.num_rows == 120


def test_shards_that_do_not_go_together_are_refused():
    queries = random_rows(1)
    first = shard_of(["a"], random_rows(1))
    for other, message in (
        (
            shard_of(["b"], random_rows(1), "euclidean"),
            "one metric. Received: cosine and, in shard 1, euclidean",
        ),
        (shard_of(["b"], random_rows(1), fingerprint="xyz"), "one encoder_fingerprint. Received: abc and"),
        (shard_of(["b"], random_rows(1)[:, :4]), "one dim. Received: 6"),
        (shard_of(["b"], random_rows(1), price=pa.array([1])), r"same columns\. .*price: int64"),
    ):
        with pytest.raises(LookalikeError, match=message):
            search([first, other], queries, 1)
    with pytest.raises(LookalikeError, match="at least one index shard"):
        search([], queries, 1)


LENGTHS = (1e-45, 1e-38, 1e-30, 1e-19, 1e-12, 1.0, 1e12, 1e19, 1e37)


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=3),
    asked=st.lists(st.sampled_from((0.0, *LENGTHS)), min_size=1, max_size=3),
    count=st.integers(1, 60),
    exact=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_nearest_are_found_whatever_the_length_of_vectors(lengths, asked, count, exact, seed):
    """Compared with double precision; distances that float32 cannot tell apart are ties."""
    random = np.random.default_rng(seed)
    vectors = (random.standard_normal((count, DIM)) * random.choice(lengths, count)[:, None]).astype(
        np.float32
    )
    queries = (random.standard_normal((4, DIM)) * random.choice(asked, 4)[:, None]).astype(np.float32)
    ids = [f"{number:02}" for number in range(count)]
    half = count // 2
    parts = [part for part in (slice(0, half), slice(half, count)) if ids[part]]
    shards = [shard_of(ids[part], vectors[part], "euclidean") for part in parts]
    found = answers(shards, search(shards, queries, 5, exact=exact))
    for number, query in enumerate(queries.astype(np.float64)):
        far = np.linalg.norm(vectors - query, axis=1)
        assert len(found[number]) == min(5, count)
        chosen = far[[int(item_id) for item_id in found[number]]]
        np.testing.assert_allclose(chosen, np.sort(far)[: len(chosen)], rtol=1e-6, atol=1.5e-45)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1e-42, 1e-19, 1e19, 1e37])
def test_an_index_that_would_be_quantised_is_right_whatever_the_length_of_its_vectors(length):
    vectors = (np.random.default_rng(0).standard_normal((30_000, DIM)) * length).astype(np.float32)
    ids = [f"{number:05}" for number in range(len(vectors))]
    shard = shard_of(ids, vectors, "euclidean")
    queries = (vectors[:50] * np.float32(1.1)).astype(np.float32)
    found = answers([shard], search([shard], queries, 10))
    for number, query in enumerate(queries.astype(np.float64)):
        far = np.linalg.norm(vectors - query, axis=1)
        chosen = far[[int(item_id) for item_id in found[number]]]
        np.testing.assert_allclose(chosen, np.sort(far)[:10], rtol=1e-6, atol=1.5e-45)


def test_queries_of_any_length_are_answered_by_a_quantised_index():
    vectors = random_rows(3_000, seed=3)
    shard = shard_of([f"{n:04}" for n in range(3_000)], vectors, "euclidean", algorithm="ah")
    queries = random_rows(6, seed=4) * np.float32([[1e-45], [1e-19], [1], [1e12], [1e19], [1e37]])
    matches = search([shard], queries, 3)
    best = matches.score[matches.rank == 1]
    expected = [np.linalg.norm(vectors - query, axis=1).min() for query in queries.astype(np.float64)]
    np.testing.assert_allclose(best[3:], expected[3:], rtol=1e-6)
    assert (best[:3] < np.float32(expected[:3]) * 1.5).all()


def test_a_bad_query_or_skip_list_is_refused():
    shard = shard_of(["a"], random_rows(1))
    with pytest.raises(LookalikeError, match="query 1 of 2 is zero"):
        search([shard], np.array([[1] * DIM, [0] * DIM]), 1)
    with pytest.raises(LookalikeError, match=r"Expected 2 ids to skip, one a query\. Received: 1"):
        search([shard], random_rows(2), 1, skip=["a"])
