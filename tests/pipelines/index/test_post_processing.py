"""Expansion and re-ranking in the jobs: against plain NumPy, in any division into shards, with ids left out."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.evaluate.job import evaluate
from lookalike.evaluate.measurements import Settings
from lookalike.evaluate.ranking import RankedCorpus, keys_in_steps
from lookalike.evaluate.report import as_text, make_report
from lookalike.evaluate.summary import ClassSizes
from lookalike.index.answers import ask
from lookalike.index.post_processing import Asked, drawn_to_neighbours, search_in_steps
from lookalike.index.shard import ShardContent, in_memory
from lookalike.index.tuning import BuildOptions, parameters_for
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.post_processing import (
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
    weighted_mean,
)
from lookalike.model.errors import LookalikeError
from lookalike.nightly.dry_run import dry_run
from lookalike.store import exclusions
from tests.conftest import DIM, picture, run, tune
from tests.support.encoding import encode

EXPANSION = QueryExpansion(k=3, alpha=2.0)
RERANKING = Reranking(short_list=9, k1=4, k2=2)
BOTH = PostProcessing(query_expansion=EXPANSION, reranking=RERANKING)


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(count, seed=0, dim=6):
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def shard(ids, vectors, metric="cosine"):
    items = pa.table({"item_id": pa.array(ids, pa.string())})
    return in_memory(ShardContent(items, np.asarray(vectors), metric, "abc"), BuildOptions(threads=1))


def split(ids, vectors, of):
    return [shard([ids[i] for i in np.flatnonzero(of == n)], vectors[of == n]) for n in range(of.max() + 1)]


def answers(found):
    """Query -> [(id, score)] of each that has one."""
    rows = {}
    near = found.near[found.held]
    for query, rank, item_id, score in zip(
        found.query, found.rank, found.items["item_id"].to_pylist(), near, strict=True
    ):
        rows.setdefault(int(query), []).append((item_id, float(score)))
        assert rank == len(rows[int(query)])
    return rows


def in_numpy(ids, vectors, query, own, k, steps, exclude_self=False, excluded=()):
    """The steps one after the other for one query: [(id, score)]."""

    def ranked():
        near = np.round(vectors.astype(np.float64) @ query, 7)
        shown = [i for i in range(len(ids)) if ids[i] not in excluded]
        return sorted(shown, key=lambda i: (-near[i], ids[i].encode()))

    if step := steps.query_expansion:
        neighbours = [i for i in ranked() if ids[i] != own][: step.k]
        query = weighted_mean(query[None], vectors[neighbours][None], step.alpha)[0]
    order = [i for i in ranked() if not (exclude_self and ids[i] == own)]
    if step := steps.reranking:
        places = [p for p, i in enumerate(order) if ids[i] != own][: step.short_list]
        listed = [order[p] for p in places]
        new = step.apply(query[None], vectors[listed][None])[0]
        for place, position in zip(places, new, strict=True):
            order[place] = listed[position]
    return [(ids[i], float(vectors[i] @ query)) for i in order[:k]]


@pytest.mark.parametrize("exclude_self", [True, False])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_division_into_shards_answers_as_one_query_in_numpy(exclude_self, data):
    count = data.draw(st.integers(1, 30))
    vectors = random_rows(count, data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):  # copies
        vectors = vectors[np.random.default_rng(count).integers(0, count, count)]
    ids = [f"{(i * 7919) % 1000:x}é{i}" for i in range(count)]
    steps = PostProcessing(
        query_expansion=data.draw(st.sampled_from([None, EXPANSION, QueryExpansion(k=100)])),
        reranking=data.draw(st.sampled_from([None, RERANKING, Reranking(short_list=100)])),
    )
    excluded = set(data.draw(st.lists(st.sampled_from(ids), max_size=5)))
    of = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    shards = split(ids, vectors, of)
    queries = np.concatenate([random_rows(2, 100), vectors[:2]])
    asked = ["q0", "q1", *ids[:2]]
    asked += ["q2"] * (len(queries) - len(asked))
    k = data.draw(st.integers(1, 12))
    wanted = Asked(k, steps, exclude_self, exact=True)
    found = answers(search_in_steps(shards, queries, asked, wanted, excluded))
    for number, (query, own) in enumerate(zip(queries, asked, strict=True)):
        expected = in_numpy(ids, vectors, query, own, k, steps, exclude_self, excluded)
        assert [item for item, _ in found.get(number, [])] == [item for item, _ in expected]
        np.testing.assert_allclose(
            [score for _, score in found.get(number, [])], [score for _, score in expected], atol=1e-6
        )


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_the_evaluation_ranks_as_the_query_job_answers(data):
    count = data.draw(st.integers(2, 30))
    vectors = random_rows(count, data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):
        vectors = vectors[np.random.default_rng(count).integers(0, count, count)]
    ids = [f"{(i * 7919) % 1000:x}é{i}" for i in range(count)]
    shards = split(ids, vectors, np.arange(count) % data.draw(st.integers(1, 3)))
    corpus = RankedCorpus(shards, "cosine", pa.array(ids[:1]))
    queries, asked = np.concatenate([random_rows(2, 100), vectors[:2]]), ["q0", "q1", *ids[:2]]
    steps = PostProcessing(
        query_expansion=data.draw(st.sampled_from([None, EXPANSION])),
        reranking=data.draw(st.sampled_from([None, RERANKING])),
    )
    own = corpus.numbers_of(asked)
    for keep_self in (True, False):
        keys, _ = keys_in_steps(corpus, queries, own, steps)
        grades = np.zeros((len(queries), len(corpus)), np.int8)
        if not keep_self:
            grades[own >= 0, own[own >= 0]] = -1
        columns = corpus.ranked(keys, grades, count).columns
        wanted = Asked(count, steps, exclude_self=not keep_self, exact=True)
        found = answers(search_in_steps(shards, queries, asked, wanted, ids[:1]))
        names = corpus.items["item_id"].to_pylist()
        for number, row in enumerate(columns):
            ranked = [names[column] for column in row if column >= 0]
            assert ranked == [item for item, _ in found.get(number, [])]


def test_without_steps_a_search_is_a_search():
    shards = [shard(["a", "b", "c"], random_rows(3))]
    queries = random_rows(2, 1)
    assert answers(search_in_steps(shards, queries, ["x", "y"], Asked(2))) == answers(ask(shards, queries, 2))


def test_only_the_short_list_is_in_another_order():
    shards = [shard([f"{i:02}" for i in range(40)], random_rows(40))]
    queries = random_rows(20, 1)
    plain, moved = (
        answers(search_in_steps(shards, queries, ["q"] * 20, Asked(40, steps)))
        for steps in (PostProcessing(), PostProcessing(reranking=RERANKING))
    )
    assert any(plain[q][:9] != moved[q][:9] for q in range(20))
    for q in range(20):
        assert sorted(plain[q][:9]) == sorted(moved[q][:9])
        assert plain[q][9:] == moved[q][9:]


def test_vectors_that_are_augmented_are_means_with_their_nearest_in_any_order_of_the_items():
    ids = [f"{(i * 7) % 50:02}" for i in range(50)]
    vectors = random_rows(50)
    vectors[10:13] = vectors[10]  # copies stay copies
    step = DatabaseAugmentation(k=2, alpha=3.0)
    one = shard(ids, vectors)
    found = drawn_to_neighbours([one], vectors, one.item_ids, step)
    for i in range(50):
        near = np.round(vectors.astype(np.float64) @ vectors[i], 7)
        order = sorted((j for j in range(50) if j != i), key=lambda j: (-near[j], ids[j]))[:2]
        np.testing.assert_array_equal(
            found[i], weighted_mean(vectors[i : i + 1], vectors[order][None], 3.0)[0]
        )
    np.testing.assert_array_equal(found[10:13], np.repeat(found[10:11], 3, axis=0))
    back = shard(ids[::-1], vectors[::-1])
    np.testing.assert_array_equal(
        drawn_to_neighbours([back], vectors[::-1], back.item_ids, step)[::-1], found
    )


@pytest.mark.parametrize("algorithm", ["ah", "tree"])
def test_a_large_shard_is_augmented_alike_every_time_and_nearly_as_by_exact_search(algorithm, monkeypatch):
    ids, vectors = [f"{i:04}" for i in range(3000)], random_rows(3000, dim=16)
    step = DatabaseAugmentation(k=3, alpha=3.0)
    by_all = shard(ids, vectors)
    exact = drawn_to_neighbours([by_all], vectors, by_all.item_ids, step)
    monkeypatch.setattr(
        "lookalike.index.cheapest.ways_to_build", lambda n, *_: [parameters_for(n, algorithm)]
    )
    one, two = (shard(ids, vectors) for _ in range(2))
    first, second = (drawn_to_neighbours([s], s.searcher.vectors, s.item_ids, step) for s in (one, two))
    assert one.searcher.parameters.algorithm != by_all.searcher.parameters.algorithm
    np.testing.assert_array_equal(first, second)
    assert np.isclose(first, exact, atol=1e-6).all(axis=1).mean() > 0.95


def test_what_is_taken_down_draws_nothing_to_it():
    ids, vectors, step = list("abcd"), random_rows(4), DatabaseAugmentation(k=3)
    left = shard(ids[1:], vectors[1:])
    np.testing.assert_array_equal(
        drawn_to_neighbours([shard(ids, vectors)], vectors[1:], ids[1:], step, excluded=["a"]),
        drawn_to_neighbours([left], vectors[1:], ids[1:], step),
    )


def test_a_lone_item_keeps_its_vector_when_augmented():
    one = shard(["a"], random_rows(1))
    found = drawn_to_neighbours([one], one.searcher.vectors, one.item_ids, DatabaseAugmentation(k=5))
    np.testing.assert_allclose(found, random_rows(1), atol=1e-7)


# The jobs.


def answered(job, queries, *arguments):
    done = job.query(queries, *arguments)
    assert done.code == 0, done
    rows: dict[str, list[tuple[str, float]]] = {}
    for row in job.results.to_pylist():
        rows.setdefault(row["query_id"], []).append((row["item_id"], row["score"]))
    return rows, done.out


def test_images_vectors_and_ids_are_asked_with_the_steps_of_the_encoder(tuned, pictures):
    table = tuned.embeddings
    ids, vectors = table["item_id"].to_pylist(), np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    images = {f"q{i}.jpg": picture(900 + i) for i in range(3)}
    encoded, _ = encode(Encoder.load(tuned.settings["encoder"]), images.values())
    listed = tuned.folder / "ids.txt"
    listed.write_text("p01.jpg\np02.jpg\n")
    tune(tuned, "--query-expansion", "3,2", "--reranking", "9,4,2")
    asked = [
        (tuned.query_file(images), list(images), encoded, ()),
        (tuned.vectors_file(encoded, list(images)), list(images), encoded, ()),
        (listed, ["p01.jpg", "p02.jpg"], vectors[[ids.index("p01.jpg"), ids.index("p02.jpg")]], ()),
        (
            listed,
            ["p01.jpg", "p02.jpg"],
            vectors[[ids.index("p01.jpg"), ids.index("p02.jpg")]],
            ("--exclude-self",),
        ),
    ]
    for path, names, queries, flags in asked:
        found, text = answered(tuned, path, "-k", 7, *flags)
        assert "query expansion 3,2; reranking 9,4,2,0.3" in text
        for name, query in zip(names, queries, strict=True):
            expected = in_numpy(ids, vectors, query, name, 7, BOTH, bool(flags))
            assert [item for item, _ in found[name]] == [item for item, _ in expected]
            assert [score for _, score in found[name]] == pytest.approx([s for _, s in expected], abs=1e-6)


def test_an_item_that_is_taken_down_is_no_neighbour_either(tuned):
    table = tuned.embeddings
    ids, vectors = table["item_id"].to_pylist(), np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    tune(tuned, "--query-expansion", "3,2", "--reranking", "9,4,2")
    query = random_rows(1, 5, DIM)
    first = answered(tuned, tuned.vectors_file(query, ["q"]))[0]["q"][0][0]
    exclusions.add(str(tuned.store), [first])
    found = answered(tuned, tuned.vectors_file(query, ["q"]))[0]["q"]
    assert [i for i, _ in found] == [
        i for i, _ in in_numpy(ids, vectors, query[0], "q", 10, BOTH, False, {first})
    ]


def test_without_its_encoder_vectors_are_asked_plainly_and_the_log_says_so(tuned, other_encoder):
    path = tuned.vectors_file(random_rows(2, 5, DIM))
    plain, text = answered(tuned, path)
    assert "steps" not in text
    tune(tuned, "--query-expansion", "3")
    assert answered(tuned, path)[0] != plain
    tuned.set(encoder=str(tuned.folder / "gone"))
    done = tuned.query(path)
    assert "no query expansion and no re-ranking" in done.err
    assert answered(tuned, path)[0] == plain
    shutil.copytree(other_encoder, tuned.folder / "other")
    tuned.set(encoder=str(tuned.folder / "other"))
    tune(tuned, "--query-expansion", "3")
    assert "is not the encoder of the index" in tuned.query(path).err
    assert answered(tuned, path)[0] == plain


def test_steps_for_distances_instead_of_cosines_are_refused(tuned):
    tuned.set(metric="euclidean")
    tuned.nightly()
    path = tuned.vectors_file(random_rows(1, 5, DIM))
    tune(tuned, "--reranking", "9")
    assert "need metric: cosine" in tuned.query(path).sentence
    with pytest.raises(LookalikeError, match="need metric: cosine"):
        evaluate(tuned.loaded, str(path), "title")
    tune(tuned, "--reranking", "off", "--database-augmentation", "2")
    assert "needs metric: cosine" in tuned.run("nightly").sentence


def test_the_evaluation_uses_and_names_the_steps(tuned):
    tune(tuned, "--query-expansion", "3,2", "--reranking", "9,4,2")
    listed = tuned.folder / "ids.txt"
    listed.write_text("p01.jpg\np02.jpg\n")
    judged = tuned.folder / "file.qrels"
    judged.write_text("p01.jpg 0 p05.jpg 1\np02.jpg 0 p06.jpg 1\n")
    (found,) = evaluate(tuned.loaded, str(listed), str(judged))
    rows = answered(tuned, listed, "--exact", "--exclude-self", "-k", 24)[0]
    for row, right in zip(found.per_query.to_pylist(), ("p05.jpg", "p06.jpg"), strict=True):
        ranked = [item for item, _ in rows[row["query_id"]]]
        assert row["top"] == ranked[:5]
        assert row["mrr"] == 1 / (1 + ranked.index(right))
    report, _ = make_report([found], [str(judged)], Settings(), ClassSizes(), resamples=100)
    assert report["evaluations"][0]["retrieval"]["query_expansion"] == {"k": 3, "alpha": 2.0}
    assert "steps        query expansion 3,2; reranking 9,4,2,0.3" in as_text(report)


def test_augmentation_rebuilds_the_index_once_and_leaves_the_embedding_files(tuned):
    before = tuned.generation
    files = {path: path.read_bytes() for path in tuned.store.glob("embeddings/*/*.*")}
    tune(tuned, "--query-expansion", "3")
    assert dry_run(tuned.loaded).rebuilt == 0
    assert "unchanged" in tuned.nightly().out
    tune(tuned, "--database-augmentation", "3,2")
    assert dry_run(tuned.loaded).rebuilt == 1
    assert "0 embedded" in (done := tuned.nightly().out)
    assert "augmented" in done
    after = tuned.generation
    assert after["augmentation"] == {"k": 3, "alpha": 2.0}
    assert after["indexes"][0]["path"] != before["indexes"][0]["path"]
    assert dry_run(tuned.loaded).rebuilt == 0
    assert "unchanged" in tuned.nightly().out
    assert {path: path.read_bytes() for path in tuned.store.glob("embeddings/*/*.*")} == files

    ids = tuned.embeddings["item_id"].to_pylist()
    plain = np.stack(tuned.embeddings["embedding"].to_numpy(zero_copy_only=False))
    items = shard(ids, plain)
    expected = drawn_to_neighbours([items], plain, ids, DatabaseAugmentation(k=3, alpha=2.0))
    served = np.load(tuned.store / after["indexes"][0]["path"] / "dataset.npy")
    np.testing.assert_array_equal(served, expected)
    assert "database augmentation 3,2" in answered(tuned, tuned.vectors_file(plain[:1]))[1]
    shown = json.loads(run("generations", "show", "--config", tuned.config, "--json").out)
    assert shown["augmentation"] == after["augmentation"]

    shutil.rmtree(tuned.store / "indexes")
    tuned.nightly()
    assert tuned.generation["indexes"] == after["indexes"]
    tune(tuned, "--database-augmentation", "off")
    assert "database augmentation 3,2" in answered(tuned, tuned.vectors_file(plain[:1]))[1]
    tuned.nightly()
    assert tuned.generation["indexes"][0]["path"] == before["indexes"][0]["path"]
    assert tuned.generation["made_from"] == before["made_from"]
