"""The query job: right answers by NumPy, tables that are the same every time, and every bad query a row."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.model.encoder.bundle import Encoder
from lookalike.sources.pack import pack
from tests.conftest import DIM, Job, picture
from tests.support.encoding import encode

FORMS = ("parquet", "csv", "jsonl")


def corpus(job) -> tuple[list[str], np.ndarray]:
    """Ids and vectors of a job's embedding files."""
    table = job.embeddings
    return table["item_id"].to_pylist(), np.stack(table["embedding"].to_numpy(zero_copy_only=False))


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


def noisy(vectors: np.ndarray, n: int = 20) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=(n, vectors.shape[1])).astype(np.float32)
    return vectors[np.arange(n) % len(vectors)] + 0.1 * noise


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


def test_query_shards_are_read_like_corpus_shards(copied, encoder):
    """Three formats of the same queries, the same table but for the ids."""
    source = copied.query_file({f"q{i}.jpg": picture(500 + i) for i in range(6)}, "source")
    tables = []
    for format in ("tfrecord", "webdataset", "parquet"):
        pack(str(source), str(copied.folder / format), format=format, images_per_shard=3)
        assert copied.query(copied.folder / format).code == 0
        tables.append(copied.results.drop_columns("query_id"))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_a_file_of_many_queries_is_answered_in_blocks(copied, monkeypatch):
    _, vectors = corpus(copied)
    asked = noisy(vectors, 50)
    path = copied.vectors_file(asked)
    assert copied.query(path).code == 0
    whole = copied.results
    monkeypatch.setattr("lookalike.query.inputs.BLOCK", 7)
    assert copied.query(path).code == 0
    assert whole.equals(copied.results)


# Bad queries: each a row in failures.


def test_bad_images_are_failures_and_the_others_are_answered(copied):
    queries = {
        "a.jpg": picture(1),
        "b.jpg": b"",
        "c.jpg": b"text",
        "d.jpg": picture(2)[:300],
        "e.jpg": picture(3),
    }
    done = copied.query(copied.query_file(queries), "-k", 1)
    assert done.code == 0
    assert "5 read = 2 answered + 3 failed" in done.out
    assert copied.results["query_id"].to_pylist() == ["a.jpg", "e.jpg"]
    assert [(f["query_id"], f["stage"]) for f in copied.failures] == [
        ("b.jpg", "decode"),
        ("c.jpg", "decode"),
        ("d.jpg", "decode"),
    ]
    assert all(f["error"] for f in copied.failures)


BAD_VECTORS = {
    "NaN": ([np.nan] + [1.0] * 15, "NaN"),
    "infinity": ([np.inf] + [1.0] * 15, "infinity"),
    "zeros": ([0.0] * 16, "zeros"),
    "too long to square": ([1e30] * 16, "float32"),
    "too short to square": ([1e-30] * 16, "zeros"),
    "too few": ([1.0] * 15, "expected a vector of 16 numbers, received 15"),
    "too many": ([1.0] * 17, "received 17"),
    "none": ([], "received 0"),
    "null": (None, "null"),
    "null inside": ([None] + [1.0] * 15, "NaN"),
}


@pytest.mark.parametrize("kind", BAD_VECTORS)
def test_a_bad_vector_is_a_failure_and_the_others_are_answered(copied, kind):
    bad, reason = BAD_VECTORS[kind]
    done = copied.query(copied.vectors_file([[1.0] * 16, bad, [2.0] * 16], ["a", "bad", "c"]), "-k", 1)
    assert done.code == 0
    assert copied.results["query_id"].to_pylist() == ["a", "c"]
    (failure,) = copied.failures
    assert (failure["query_id"], failure["stage"]) == ("bad", "vector")
    assert reason in failure["error"]


def test_null_and_repeated_ids_of_vectors_are_failures(copied):
    done = copied.query(copied.vectors_file([[1.0] * 16] * 4, ["a", None, "a", "b"]), "-k", 1)
    assert done.code == 0
    assert copied.results["query_id"].to_pylist() == ["a", "b"]
    assert [f["error"] for f in copied.failures] == [
        "the id is null",
        "another query before this one has the same id",
    ]


def test_ids_stored_as_bytes_or_numbers_become_text(copied):
    path = copied.vectors_file([[1.0] * 16] * 2, [b"caf\xc3\xa9", b"caf\xe9"])
    assert copied.query(path, "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["café"]
    assert [(f["query_id"], f["stage"]) for f in copied.failures] == [("caf\\xe9", "id")]
    assert copied.query(copied.vectors_file([[1.0] * 16] * 2, [7, 8]), "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["7", "8"]


def test_ids_that_are_not_utf8_are_failures(copied):
    path = copied.folder / "ids.txt"
    path.write_bytes(b"p01.jpg\ncaf\xe9\n")
    assert copied.query(path, "-k", 1).code == 0
    assert copied.failures == [{"query_id": "caf\\xe9", "stage": "id", "error": "the id is not UTF-8"}]


def test_only_bad_queries_give_an_empty_table_all_failures_and_exit_3(copied):
    done = copied.query(copied.vectors_file([[np.nan] * 16, [0.0] * 16]))
    assert done.code == 3
    assert "2 read = 0 answered + 2 failed" in done.out
    assert copied.results.num_rows == 0
    assert len(copied.failures) == 2


def test_a_damaged_query_shard_is_answered_as_far_as_it_goes(copied):
    source = copied.query_file({f"q{i}.jpg": picture(500 + i) for i in range(3)})
    (shard,) = pack(str(source), str(copied.folder / "packed"), format="tfrecord").shards
    content = Path(shard).read_bytes()
    Path(shard).write_bytes(content[:-5])
    assert copied.query(shard, "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["q0.jpg", "q1.jpg"]
    (failure,) = copied.failures
    assert failure["stage"] == "read"
    assert shard in failure["query_id"]


# What is refused as a whole: one sentence, exit 2, and the tables of before are as they were.


def refused(job: Job, queries: object, *arguments: object) -> str:
    out = job.folder / "out"
    out.mkdir(exist_ok=True)
    (out / "results.parquet").write_bytes(b"of before")
    done = job.query(queries, *arguments)
    assert done.code == 2, done
    assert sorted(path.name for path in out.iterdir()) == ["results.parquet"]
    assert (out / "results.parquet").read_bytes() == b"of before"
    return done.sentence


@pytest.mark.parametrize("name", ["nothing", "nothing.parquet", "nothing.txt", "*.tar", "nothing.tfrecord"])
def test_queries_that_do_not_exist_are_refused(copied, name):
    assert name in refused(copied, copied.folder / name)


@pytest.mark.parametrize("name", ["empty.txt", "empty.parquet", "rows.parquet", "folder"])
def test_an_empty_query_file_is_refused(copied, name):
    path = copied.folder / name
    if name == "rows.parquet":
        copied.vectors_file(np.empty((0, 16)), [], name)
    elif name == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"")
    assert str(path) in refused(copied, path)


def test_a_query_file_of_an_unknown_format_is_refused(copied):
    path = copied.folder / "queries.xyz"
    path.write_bytes(b"what is this?")
    assert str(path) in refused(copied, path)
    assert "queries.json" in refused(copied, _written(copied.folder / "queries.json", b"[]"))


def _written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("at", [0.001, 0.3, 0.5, 0.9, 0.97, 0.999])
def test_a_damaged_parquet_of_vectors_is_refused_or_read_but_never_crashes(copied, at):
    path = copied.vectors_file(noisy(corpus(copied)[1], 200))
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + 6] = b"\xff" * 6
    path.write_bytes(content)
    done = copied.query(path)
    assert done.code in (0, 2, 3)
    if done.code == 2:
        assert str(path) in done.sentence


def test_vectors_of_another_encoder_are_refused_with_both_names(copied, other_encoder):
    other = Encoder.load(other_encoder)
    table = pa.table({"item_id": ["a"], "embedding": pa.array([[1.0] * 16], pa.list_(pa.float32(), 16))})
    path = copied.folder / "other.parquet"
    pq.write_table(table.replace_schema_metadata({"lookalike.encoder": other.fingerprint}), path)
    sentence = refused(copied, path)
    assert other.fingerprint[:16] in sentence
    assert copied.generation["encoder"][:16] in sentence


def test_an_encoder_of_another_fingerprint_is_refused_with_both_names(copied, other_encoder):
    copied.set(encoder=str(other_encoder))
    sentence = refused(copied, copied.query_file({"q.jpg": picture(1)}))
    assert Encoder.load(other_encoder).fingerprint[:16] in sentence
    assert copied.generation["encoder"][:16] in sentence
    assert "tiny" in sentence
    assert "other" in sentence


def test_embedding_files_of_the_corpus_are_vector_queries(copied):
    path = copied.store / next(iter(copied.notes.values()))["path"]
    assert copied.query(path, "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == copied.results["item_id"].to_pylist()


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
