"""The query job: right answers by NumPy, tables that are the same every time, and every bad query a row."""

import contextlib
import csv
import errno
import itertools
import json
import os
import shutil
import subprocess
import threading

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.index import post_processing
from lookalike.model.encoder.bundle import Encoder
from lookalike.query import answering, stages
from lookalike.query import job as query_job
from lookalike.query.far_queries import FarQueries
from lookalike.store import exclusions, generations
from lookalike.store.prune import prune
from tests.conftest import DIM, picture
from tests.support.encoding import encode
from tests.support.queries import corpus, noisy, refused

FORMS = ("parquet", "csv", "jsonl")


def by_numpy(ids, vectors, queries, k, metric="cosine"):
    """For each query the first k (id, score), nearest first, ties by id."""
    answers = []
    for query in queries.astype(np.float64):
        rows = vectors.astype(np.float64)
        if metric == "cosine":
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            scores = rows @ (query / np.linalg.norm(query))
            near = scores
        else:
            scores = np.linalg.norm(rows - query, axis=1)
            near = -scores
        order = sorted(range(len(ids)), key=lambda i: (-near[i], ids[i].encode()))[:k]
        answers.append([(ids[i], scores[i]) for i in order])
    return answers


def assert_answers(table: pa.Table, query_ids: list[str], expected) -> None:
    rows = iter(table.to_pylist())
    for query_id, matches in zip(query_ids, expected, strict=True):
        for rank, (item_id, score) in enumerate(matches, 1):
            row = next(rows)
            assert (row["query_id"], row["rank"], row["item_id"]) == (query_id, rank, item_id)
            assert row["score"] == pytest.approx(score, abs=2e-6)
    assert next(rows, None) is None


@pytest.mark.parametrize("format", ["tfrecord", "webdataset", "parquet"])
def test_shards_are_packed_embedded_indexed_and_queried_with_the_answers_of_numpy(
    job, pictures, encoder, format
):
    job.pack(pictures, format)
    job.nightly()
    queries = {f"q{i}.jpg": picture(1000 + i) for i in range(5)}
    assert job.query(job.query_file(queries), "-k", 7).code == 0
    vectors, errors = encode(Encoder.load(encoder), list(queries.values()))
    assert not errors
    assert_answers(job.results, list(queries), by_numpy(*corpus(job), vectors, 7))
    assert job.failures == []


@pytest.mark.parametrize("exact", [[], ["--exact"]])
def test_vector_queries_have_the_answers_of_numpy(copied, exact):
    ids, vectors = corpus(copied)
    queries = noisy(vectors)
    names = [f"q{i}" for i in range(len(queries))]
    assert copied.query(copied.vectors_file(queries, names), "-k", 5, *exact).code == 0
    assert_answers(copied.results, names, by_numpy(ids, vectors, queries, 5))


@pytest.mark.parametrize("many", [0, 1 << 21])
def test_where_all_is_compared_no_query_is_told_as_far(copied, monkeypatch, many):
    told = []
    monkeypatch.setattr(FarQueries, "tell", lambda _: told.append(1))
    monkeypatch.setattr(stages, "MANY", many)
    queries = copied.vectors_file(np.ones((1, DIM)))
    assert copied.query(queries, "--exact").code == 0
    assert not told
    assert copied.query(queries).code == 0
    assert told


@pytest.mark.parametrize("many", [0, 1 << 21])
def test_what_a_filter_leaves_is_not_told_as_far(copied, monkeypatch, many):
    counted, usual = [], FarQueries.__init__

    def all_are_far(far: FarQueries, manifests) -> None:
        usual(far, manifests)
        far.limit = 2.0

    monkeypatch.setattr(FarQueries, "__init__", all_are_far)
    monkeypatch.setattr(FarQueries, "add", lambda _, queries, far: counted.append(far))
    monkeypatch.setattr(stages, "MANY", many)
    queries = copied.vectors_file(np.ones((3, DIM)))
    assert copied.query(queries, "--where", "true").code == 0
    assert sum(counted) == 0
    assert copied.query(queries).code == 0
    assert sum(counted) == 3


def test_euclidean_distances_of_vectors_that_are_not_unit_length_are_those_of_numpy(
    job, pictures, make_encoder
):
    make_encoder(job.folder / "encoder", unit_length=False)
    job.set(encoder=str(job.folder / "encoder"), metric="euclidean")
    job.pack(pictures)
    job.nightly()
    ids, vectors = corpus(job)
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths.max() > lengths.min() * 1.1
    queries = noisy(vectors)
    assert job.query(job.vectors_file(queries), "-k", 6).code == 0
    names = [str(i) for i in range(len(queries))]
    assert_answers(job.results, names, by_numpy(ids, vectors, queries, 6, "euclidean"))


def test_several_index_shards_answer_like_one(job, pictures):
    many = {f"{i:03}.jpg": picture(i) for i in range(120)}
    job.pack(many, per_shard=4)
    job.set(index={"shard_vectors": 20})
    job.nightly()
    assert len(job.generation["indexes"]) == 8
    queries = job.query_file({f"q{i}.jpg": picture(500 + i) for i in range(20)})
    assert job.query(queries).code == 0
    several = job.results
    assert job.query(queries, "--exact").code == 0
    assert several.equals(job.results)
    job.set(index={"shard_vectors": 1000})
    job.nightly()
    assert len(job.generation["indexes"]) == 1
    assert job.query(queries).code == 0
    assert several.equals(job.results)


def test_the_result_table_has_the_columns_of_the_contract(copied):
    assert copied.query(copied.vectors_file([[1.0] * DIM])).code == 0
    schema = pq.read_schema(copied.folder / "out" / "results.parquet")
    assert [(f.name, f.type) for f in schema] == [
        ("query_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("title", pa.string()),
        ("number", pa.int64()),
    ]
    failures = pq.read_schema(copied.folder / "out" / "failures.parquet")
    assert [(f.name, f.type) for f in failures] == [(n, pa.string()) for n in ("query_id", "stage", "error")]
    rows = copied.results.to_pylist()
    assert all(row["title"] == f"tïtle, {row['item_id']}" for row in rows)
    assert [row["number"] for row in rows] == [int(row["item_id"][1:3]) for row in rows]
    path = copied.folder / "out" / "results.parquet"
    assert duckdb.sql(f"SELECT count(*), max(rank) FROM '{path}'").fetchall() == [(10, 10)]


@pytest.mark.parametrize("form", FORMS)
def test_a_second_run_writes_the_same_bytes(copied, form):
    queries = copied.query_file({f"q{i}.jpg": picture(500 + i) for i in range(9)} | {"bad.jpg": b"?"})
    paths = [copied.folder / "out" / f"{name}.{form}" for name in ("results", "failures")]
    assert copied.query(queries, form=form).code == 0
    first = [path.read_bytes() for path in paths]
    assert copied.query(queries, form=form).code == 0
    assert [path.read_bytes() for path in paths] == first


def test_the_three_forms_hold_the_same_rows(copied):
    queries = copied.vectors_file(noisy(corpus(copied)[1]), [f"q,{i}\n" for i in range(20)])
    for form in FORMS:
        assert copied.query(queries, form=form).code == 0
    rows = copied.results.to_pylist()
    out = copied.folder / "out"
    assert [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()] == rows
    with open(out / "results.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {name: str(np.float32(value)) if name == "score" else str(value) for name, value in row.items()}
            for row in rows
        ]


@pytest.mark.parametrize("form", FORMS)
def test_tables_without_rows_are_there_with_their_columns(copied, form):
    queries = copied.query_file({"bad.jpg": b"no picture"})
    assert copied.query(queries, form=form).code == 3
    path = copied.folder / "out" / f"results.{form}"
    if form == "parquet":
        assert copied.results.num_rows == 0
        assert copied.results.column_names[:4] == ["query_id", "rank", "item_id", "score"]
    elif form == "csv":
        assert path.read_text() == '"query_id","rank","item_id","score","title","number"\n'
    else:
        assert path.read_bytes() == b""


def test_a_query_may_be_the_id_of_an_indexed_item(copied):
    ids, vectors = corpus(copied)
    path = copied.folder / "ids.txt"
    path.write_text("p05.jpg\n\nunknown\np02.jpg\r\np05.jpg\n")
    assert copied.query(path, "-k", 3).code == 0
    rows = [ids.index("p05.jpg"), ids.index("p02.jpg")]
    assert_answers(copied.results, ["p05.jpg", "p02.jpg"], by_numpy(ids, vectors, vectors[rows], 3))
    assert [(f["query_id"], f["stage"]) for f in copied.failures] == [
        ("unknown", "lookup"),
        ("p05.jpg", "duplicate"),
    ]


def test_an_id_query_and_the_image_of_that_item_have_the_same_answer(copied, pictures):
    name = sorted(pictures)[5]
    (copied.folder / "ids.txt").write_text(name)
    assert copied.query(copied.folder / "ids.txt").code == 0
    by_id = copied.results
    assert copied.query(copied.query_file({name: pictures[name]})).code == 0
    assert by_id.equals(copied.results)


def test_exclude_self_leaves_the_query_out_and_fills_its_place(copied, pictures):
    queries = copied.query_file(pictures)
    assert copied.query(queries, "-k", 5).code == 0
    with_self = copied.results.to_pylist()
    assert all(row["item_id"] == row["query_id"] for row in with_self if row["rank"] == 1)
    assert copied.query(queries, "-k", 4, "--exclude-self").code == 0
    without = copied.results.to_pylist()
    assert [(r["query_id"], r["item_id"], r["score"]) for r in without] == [
        (r["query_id"], r["item_id"], r["score"]) for r in with_self if r["rank"] > 1
    ]
    assert copied.query(queries, "-k", 100, "--exclude-self").code == 0
    assert copied.results.num_rows == 24 * 23


def test_k_larger_than_the_corpus_gives_the_whole_corpus(copied):
    assert copied.query(copied.vectors_file(noisy(corpus(copied)[1], 3)), "-k", 1000).code == 0
    assert copied.results["rank"].to_pylist() == [*range(1, 25)] * 3


def test_only_bad_queries_give_an_empty_table_all_failures_and_exit_3(copied):
    done = copied.query(copied.vectors_file([[np.nan] * 16, [0.0] * 16]))
    assert done.code == 3
    assert "2 read = 0 answered + 2 failed" in done.out
    assert copied.results.num_rows == 0
    assert len(copied.failures) == 2


# What is refused as a whole: one sentence, exit 2, and the tables of before are as they were.


def test_a_flipped_bit_in_any_file_of_an_index_is_found(copied):
    (ref,) = copied.generation["indexes"]
    files = sorted((copied.store / ref["path"]).iterdir())
    assert len(files) > 3
    vectors = copied.vectors_file([[1.0] * 16])
    for path in files:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        path.write_bytes(damaged)
        assert path.name in refused(copied, vectors)
        path.write_bytes(whole[:-1])
        assert path.name in refused(copied, vectors)
        path.unlink()
        assert path.name in refused(copied, vectors)
        path.write_bytes(whole)
    assert copied.query(vectors).code == 0


def test_a_store_without_a_generation_says_what_to_run(job):
    assert "lookalike nightly" in refused(job, job.vectors_file([[1.0] * 16]))


def test_an_output_folder_that_is_a_file_is_refused(copied):
    (copied.folder / "out").write_text("mine")
    done = copied.query(copied.vectors_file([[1.0] * 16]))
    assert done.code == 2
    assert str(copied.folder / "out") in done.sentence
    assert (copied.folder / "out").read_text() == "mine"


def test_where_the_results_cannot_be_written_there_are_no_failures_either(copied, monkeypatch):
    """The failures are written first: alone they would be those of no answer."""
    usual = answering.open_table

    @contextlib.contextmanager
    def full(path, *arguments):
        with usual(path, *arguments) as table:
            yield table
            if os.path.basename(path).startswith("results"):
                raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(answering, "open_table", full)
    done = copied.query(copied.query_file({"a.jpg": picture(1), "b.jpg": b"none"}))
    assert done.code == 2
    assert list((copied.folder / "out").iterdir()) == []


def test_tables_of_before_do_not_lie_beside_an_error(copied, monkeypatch):
    queries = copied.query_file({"a.jpg": picture(1)})
    assert copied.query(queries).code == 0

    def failing(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(query_job, "search_in_steps", failing)
    assert copied.query(queries).code == 2
    assert list((copied.folder / "out").iterdir()) == []


def test_what_was_taken_down_is_not_shown_from_the_next_query_on(copied):
    queries = copied.query_file({"a.jpg": picture(1)})
    assert copied.query(queries).code == 0
    first = copied.results["item_id"][0].as_py()
    exclusions.add(str(copied.store), [first], "on request")
    assert copied.query(queries).code == 0
    assert first not in copied.results["item_id"].to_pylist()


def test_a_folder_in_the_place_of_a_table_is_refused_and_kept(copied):
    mine = copied.folder / "out" / "results.parquet" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = copied.query(copied.vectors_file([[1.0] * 16]))
    assert done.code == 2
    assert "results.parquet" in done.sentence
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("form", FORMS)
def test_a_read_only_output_folder_is_told(copied, mounted, form):
    out = mounted("out", 64)
    subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
    done = copied.query(copied.vectors_file([[1.0] * 16]), form=form)
    assert done.code == 2
    assert "Read-only file system" in done.sentence
    assert str(out) in done.sentence


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_told_and_leaves_no_table(copied, mounted, form):
    ids = [os.urandom(400).hex() for _ in range(200)]
    queries = copied.vectors_file(noisy(corpus(copied)[1], 200), ids)
    out = mounted("out", 64)
    done = copied.query(queries, form=form)
    assert done.code == 2
    assert "No space left on device" in done.sentence
    assert list(out.iterdir()) == []


def test_an_index_and_its_shards_may_be_moved(published, copied):
    """Nothing in a store holds an absolute path that is needed."""
    vectors = copied.vectors_file(noisy(corpus(copied)[1]))
    assert copied.query(vectors).code == 0
    before = copied.results
    shutil.move(copied.store, copied.folder / "elsewhere")
    copied.set(store=str(copied.folder / "elsewhere"))
    assert copied.query(vectors).code == 0
    assert before.equals(copied.results)


def test_what_a_query_reads_is_not_pruned_while_it_is_answered(copied, monkeypatch):
    first = copied.generation["name"]
    copied.nightly("--set", "index.recall_target=0.95")
    second = copied.generation["name"]
    store = str(copied.store)
    generations.rollback(store, first)
    done = []

    def meanwhile(*arguments, **options):
        generations.rollback(store, second)
        done.append(prune(store, 1))
        return search(*arguments, **options)

    search = query_job.search_in_steps
    monkeypatch.setattr(query_job, "search_in_steps", meanwhile)
    assert copied.query(copied.vectors_file([[1.0] * DIM])).code == 0
    assert done[0].in_use == (first,)
    assert generations.names(store) == [first, second]


def test_the_next_queries_are_read_and_the_last_rows_written_while_one_block_is_searched_for(
    copied, monkeypatch
):
    monkeypatch.setattr(post_processing, "BLOCK", 2)
    read, writing, searched = [threading.Event() for _ in range(5)], threading.Event(), threading.Event()
    far_ahead = []
    blocks, search, rows = query_job.content_blocks, query_job.search_in_steps, query_job.results_of
    done = itertools.count()

    def seen_blocks(*arguments, **options):
        for event, block in zip(read, blocks(*arguments, **options), strict=True):
            event.set()
            yield block

    def seen_search(*arguments):
        number = next(done)
        assert all(event.wait(20) for event in read[: number + 2])
        far_ahead.extend(event.is_set() for event in read[number + 2 :])
        if number == 1:
            assert writing.wait(20)
            searched.set()
        return search(*arguments)

    def seen_rows(*arguments):
        writing.set()
        assert searched.wait(20)
        return rows(*arguments)

    monkeypatch.setattr(query_job, "content_blocks", seen_blocks)
    monkeypatch.setattr(query_job, "search_in_steps", seen_search)
    monkeypatch.setattr(query_job, "results_of", seen_rows)
    random = np.random.default_rng(0)
    assert copied.query(copied.vectors_file(random.normal(size=(10, DIM)).tolist()), "-k", 1).code == 0
    assert not any(far_ahead)
    assert copied.results["query_id"].to_pylist() == [str(number) for number in range(10)]


@pytest.mark.parametrize("place", [0, 1, 4])
def test_rows_that_cannot_be_written_fail_the_job_whichever_they_are(copied, monkeypatch, place):
    monkeypatch.setattr(post_processing, "BLOCK", 2)
    rows, numbers = query_job.results_of, itertools.count()

    def full(*arguments):
        if next(numbers) == place:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rows(*arguments)

    monkeypatch.setattr(query_job, "results_of", full)
    done = copied.query(copied.vectors_file([[1.0] * DIM] * 10), "-k", 1)
    assert done.code == 2
    assert "No space left on device" in done.err
    assert not list((copied.folder / "out").glob("*.parquet"))


def test_more_matches_than_there_are_items_are_as_many_as_there_are(copied):
    path = copied.folder / "ids.txt"
    path.write_text("p00.jpg\n")
    assert copied.query(path, "-k", 10**13, "--diversify", 0.5).code == 0
    assert copied.results["rank"].to_pylist() == list(range(1, 25))


@pytest.mark.parametrize("name", ["results.csv", "failures.csv", "query.json", "*.csv"])
def test_queries_among_what_a_job_writes_are_refused_and_stay(copied, name):
    out = copied.folder / "out"
    out.mkdir()
    path = out / name.replace("*", "results")
    path.write_text("query_id,item_id\nq,p00.jpg\n")
    (copied.folder / "link").symlink_to(out)
    done = copied.query(copied.folder / "link" / name, form="csv")
    assert done.code == 2
    assert done.sentence.startswith(
        "Expected nothing to read that is among what this writes; name another --out"
    )
    assert path.read_text() == "query_id,item_id\nq,p00.jpg\n"


@pytest.mark.parametrize("out", ["queries", "queries/below", "link"])
def test_queries_in_a_folder_that_holds_what_a_job_writes_stay(copied, out):
    """Vectors in Parquet may be called as the results are, and a second run finds the tables of the first."""
    queries = copied.folder / "queries"
    (queries / "below").mkdir(parents=True)
    (copied.folder / "link").symlink_to(queries)
    vectors = copied.vectors_file([[1.0] * DIM]).read_bytes()
    path = copied.folder / out / "results.parquet"
    path.write_bytes(vectors)
    done = copied.run("query", "-c", copied.config, queries, "-o", copied.folder / out)
    assert done.code == 2
    assert done.sentence.endswith(f"name another --out. Received: {path}")
    assert path.read_bytes() == vectors
    path.rename(queries / "mine.parquet")
    assert copied.run("query", "-c", copied.config, queries, "-o", copied.folder / out).code == 0
