"""Files of queries: images, vectors or ids, a failure for each bad one, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.index import post_processing
from lookalike.model.encoder.bundle import Encoder
from lookalike.query import inputs
from lookalike.query.look_up import LookUpIds
from lookalike.sources.pack import pack
from tests.conftest import picture
from tests.support.index_shards import shard_of
from tests.support.queries import corpus, noisy, refused


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
    monkeypatch.setattr(post_processing, "BLOCK", 7)
    assert copied.query(path).code == 0
    assert whole.equals(copied.results)


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
    "too long for float32": (np.array([1e300] * 16), "float32"),
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


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"id": ["a"], "vector": [[0.5]]}, "vectors"),
        ({"id": ["a"], "anything": [[0.5]]}, "vectors"),
        ({"id": ["a"], "numbers": [[1]]}, "images"),
        ({"id": ["a"], "image": [b"x"]}, "images"),
    ],
)
def test_a_parquet_file_holds_vectors_if_it_has_a_column_of_lists_of_floats(tmp_path, columns, kind):
    pq.write_table(pa.table(columns), tmp_path / "q.parquet")
    assert inputs.kind_of(str(tmp_path / "q.parquet")) == kind


def test_text_holds_ids_and_a_folder_images_whatever_its_name(tmp_path):
    (tmp_path / "folder.parquet").mkdir()
    assert inputs.kind_of("some/ids.txt") == "ids"
    assert inputs.kind_of(str(tmp_path / "folder.parquet")) == "images"
    assert inputs.kind_of("some/*.tar") == "images"


def test_ids_of_lines_are_looked_up_in_every_shard(tmp_path):
    shards = [shard_of(["a", "b"], [[1, 0], [0, 1]]), shard_of(["c"], [[0.6, 0.8]])]
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfc\r\n\nnone\na")
    how = LookUpIds(None, pa.array([], pa.string()), "best", "cosine")
    (block,) = inputs.id_blocks(str(tmp_path / "ids.txt"), shards, how)
    assert block.ids == ["c", "a"]
    np.testing.assert_allclose(block.vectors, [[0.6, 0.8], [1, 0]], atol=1e-7)
    assert block.failures == [(2, "none", "lookup", "no indexed item has this id")]


def test_ids_stored_as_text_that_is_not_utf8_are_failures(copied):
    raw = pa.array([b"good", b"caf\xe9", b"fine"], pa.binary())
    path = copied.folder / "text.parquet"
    text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    pq.write_table(pa.table({"id": text, "vector": [[1.0] * 16] * 3}), path)
    assert copied.query(path, "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["good", "fine"]
    assert [(f["query_id"], f["stage"]) for f in copied.failures] == [("caf\\xe9", "id")]


def test_an_id_that_comes_again_in_a_later_block_of_a_file_is_a_failure(copied, monkeypatch):
    monkeypatch.setattr(post_processing, "BLOCK", 2)
    assert copied.query(copied.vectors_file([[1.0] * 16] * 5, ["a", "b", "c", "a", "d"]), "-k", 1).code == 0
    assert copied.results["query_id"].to_pylist() == ["a", "b", "c", "d"]
    assert [(f["query_id"], f["stage"]) for f in copied.failures] == [("a", "duplicate")]


def test_every_image_that_cannot_be_read_is_told_once_though_there_are_many_blocks(copied, monkeypatch):
    monkeypatch.setattr(inputs, "IMAGE_BLOCK", 1)
    images = {f"q{i:02}.jpg": picture(i) if i % 3 else b"no image" for i in range(30)}
    assert copied.query(copied.query_file(images), "-k", 1).code == 0
    assert [failure["query_id"] for failure in copied.failures] == [f"q{i:02}.jpg" for i in range(0, 30, 3)]
    assert copied.results["query_id"].to_pylist() == [f"q{i:02}.jpg" for i in range(30) if i % 3]
