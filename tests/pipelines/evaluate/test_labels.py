"""The values of a field, of items and of queries of every kind."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.evaluate.job import evaluate, left_out_counts
from lookalike.evaluate.labels import as_text, is_field, make_labels, query_labels, read_labels
from lookalike.model.errors import LookalikeError
from lookalike.query import vector_files
from tests.conftest import picture, zoo_pictures


def rows(evaluation) -> dict[str, dict]:
    return {row["query_id"]: row for row in evaluation.per_query.to_pylist()}


CLASSES = {"cat": "dog", "dog": "cat", "fox": ""}
"""Query id -> class, in a table."""


def test_a_metadata_field_is_read_from_image_queries_vector_queries_tables_and_ids(job, tmp_path):
    job.pack(zoo_pictures({"cat": 4, "dog": 4}))
    source = job.folder / "images" / "0"
    shutil.rmtree(job.shards)
    job.set(corpus={"shards": str(source), "metadata": {"directory": "string"}})
    job.nightly()
    config = job.loaded
    queries = job.folder / "queries"
    for name in ("cat/q.jpg", "dog/q.jpg", "fox/q.jpg"):
        (queries / name).parent.mkdir(parents=True)
        (queries / name).write_bytes(picture(len(name)))
    (found,) = evaluate(config, str(queries), "directory")
    assert {q: (r["class"], r["relevant"]) for q, r in rows(found).items()} == {
        "cat/q.jpg": ("cat", 4),
        "dog/q.jpg": ("dog", 4),
    }
    assert left_out_counts(found) == {"failed": 0, "unjudged": 0, "lone": 1}
    vectors = tmp_path / "v.parquet"
    embedding = pa.array([[1.0] * 16] * 4, pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"id": [7, 8, 9, 10], "embedding": embedding, "directory": ["cat", None, "dog", ""]}),
        vectors,
    )
    (found,) = evaluate(config, str(vectors), "directory")
    assert {q: r["class"] for q, r in rows(found).items()} == {"7": "cat", "9": "dog"}
    assert found.left_out.to_pylist() == [
        {"query_id": query_id, "reason": "unjudged", "detail": "it has no directory"}
        for query_id in ("8", "10")
    ]
    table = queries / "t.csv"
    table.write_text(
        "query_id,path,directory\n" + "".join(f"{i},{i}/q.jpg,{c}\n" for i, c in CLASSES.items())
    )
    (found,) = evaluate(config, str(table), "directory")
    assert {q: r["class"] for q, r in rows(found).items()} == {"cat": "dog", "dog": "cat"}
    assert found.left_out.to_pylist() == [
        {"query_id": "fox", "reason": "unjudged", "detail": "it has no directory"}
    ]
    table.write_text("query_id,item_id,directory\na,dog/01.jpg,dog\na,dog/02.jpg,\nb,none,dog\n")
    (found,) = evaluate(config, str(table), "directory")
    assert {q: r["class"] for q, r in rows(found).items()} == {"a": "dog"}
    assert left_out_counts(found) == {"failed": 1, "unjudged": 0, "lone": 0}
    table.write_text("path\ncat/q.jpg\n")
    with pytest.raises(LookalikeError, match=r"a column directory in the query table\. Received: none"):
        evaluate(config, str(table), "directory")
    ids = tmp_path / "ids.txt"
    ids.write_text("dog/01.jpg\n")
    (found,) = evaluate(config, str(ids), "directory")
    assert rows(found)["dog/01.jpg"]["class"] == "dog"


def test_an_id_that_is_none_labels_no_query(tmp_path, published):
    path = str(tmp_path / "v.parquet")
    embedding = pa.array([[1.0] * 16] * 4, pa.list_(pa.float32()))
    ids = pa.array([None, b"None", b"00123", b"caf\xe9"])
    ids = pa.Array.from_buffers(pa.string(), 4, ids.buffers(), ids.null_count)
    for stored in (ids, ids.cast(pa.binary()).dictionary_encode()):
        pq.write_table(pa.table({"id": stored, "embedding": embedding, "sku": ["1", "2", "3", "4"]}), path)
        assert query_labels("sku", path, published.loaded.corpus, "string") == {"None": "2", "00123": "3"}


def test_each_value_is_kept_once_and_empty_text_is_none():
    labels = make_labels(
        "class", pa.chunked_array([["x", None], ["y", "x", ""]], pa.string()), {"q": "y"}.get
    )
    assert (labels.values, labels.items.tolist(), labels.items.dtype) == (
        ["x", "y"],
        [0, -1, 1, 0, -1],
        np.int32,
    )
    assert labels.counts() == {"x": 2, "y": 1}
    assert labels.codes(["q", "other"]).tolist() == [1, -2]


def test_numbers_and_truth_are_classes_too():
    assert make_labels("n", pa.chunked_array([[7, 8, 7]]), {}.get).values == [7, 8]
    assert make_labels("n", pa.chunked_array([[True, False]]), {}.get).counts() == {True: 1, False: 1}
    assert [as_text(value) for value in (7, True, "x", None)] == ["7", "True", "x", None]


def test_a_field_that_is_carried_or_is_the_directory_tells_items_apart():
    assert is_field("title", {"title": "string"})
    assert is_field("directory", {})
    assert not is_field("colour", {"title": "string"})


@pytest.mark.parametrize(
    ("name", "metadata", "said"),
    [
        ("colour", {"title": "string"}, r"carries \(now: title\), or `directory`\. Received: colour"),
        ("colour", {}, r"\(now: none\)"),
        (
            "weight",
            {"weight": "float64"},
            r"single values, but no float64, as the class\. Received: weight, float64",
        ),
    ],
)
def test_a_field_that_makes_no_classes_is_refused(published, name, metadata, said):
    with pytest.raises(LookalikeError, match=said):
        read_labels(name, "ids.txt", published.loaded.corpus, metadata, None)


def test_classes_of_a_small_file_that_unpack_to_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "_MOST_PAGE", 1 << 20)
    path = tmp_path / "t.parquet"
    text = pa.DictionaryArray.from_arrays(np.zeros(400, np.int32), ["x" * 10_000])
    ids = pa.array(list(map(str, range(400))))
    pq.write_table(pa.table({"query_id": ids, "path": ids, "class": text}), path)
    with pytest.raises(LookalikeError, match=r"at most 1,048,576 bytes of a column in 400 rows"):
        query_labels("class", str(path), None, "string")


def test_a_time_that_python_has_not_is_a_sentence(tmp_path):
    times = pa.array([2**62], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"path": ["a"], "day": times}), tmp_path / "q.parquet")
    with pytest.raises(LookalikeError, match=r"q\.parquet: day cannot be read as timestamp"):
        query_labels("day", str(tmp_path / "q.parquet"), None, "timestamp")
