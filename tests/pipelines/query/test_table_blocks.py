"""Rows of a query table to queries: pictures that cannot be fetched fail alone, and several rows are one vector."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest

from lookalike.model.encoder.bundle import Encoder
from lookalike.query.table_blocks import block_of, encoded_rows, with_vectors
from lookalike.sources import SourceOptions
from tests.conftest import picture


def rows(values, ids=None, numbers=None, stages=None, boxes=None, **columns) -> pa.Table:
    count = len(values)
    return pa.table(
        {
            "query_id": ids or [str(i) for i in range(count)],
            "number": pa.array(numbers or range(count), pa.int64()),
            "value": values,
            "box": pa.array(boxes or [None] * count, pa.list_(pa.int32(), 4)),
            "stage": pa.array(stages or [None] * count, pa.string()),
            "error": pa.array(["wrong" if one else None for one in stages or [None] * count], pa.string()),
            "words": pa.nulls(count),
            "weight": pa.nulls(count),
            **columns,
        }
    )


def vectors(*values) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.float32(values).reshape(-1)), 2)


def test_what_cannot_be_fetched_fails_alone(tmp_path, encoder):
    good = tmp_path / "good.jpg"
    good.write_bytes(picture(1))
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(10 << 30)
    (tmp_path / "link").symlink_to("link")
    names = ["none", "pipe", "large", "link", ".", "x\0y", "n" * 5000]
    paths = [
        str(good),
        *(f"{tmp_path}/{name}" for name in names),
        "nowhere://a/b",
        f"file://{good}",
        "/proc/self/mem",
    ]
    block = encoded_rows(
        rows(paths, n=list(range(len(paths)))),
        Encoder.load(encoder, threads=1),
        SourceOptions(max_bytes=1 << 20),
        suspect=False,
        combine="best",
        metric="cosine",
    )
    assert (block.ids, block.columns["n"].to_pylist()) == (["0", "9"], [0, 9])
    np.testing.assert_array_equal(block.vectors[0], block.vectors[1])
    assert [f.number for f in block.failures] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    said = [f.error for f in block.failures]
    assert {f.stage for f in block.failures} == {"read"}
    assert said[0] == f"No such file or directory: {tmp_path}/none"
    assert said[1] == f"no file: {tmp_path}/pipe"
    assert said[2] == "10,737,418,240 bytes, more than corpus.max_bytes allows: 1,048,576"
    assert said[4] == f"a folder: {tmp_path}/."
    assert "nowhere://a/b" in said[7]


def test_a_box_outside_fails_and_an_image_in_the_table_may_be_too_large(encoder):
    images = pa.array([picture(1), picture(1), b"x" * 2000], pa.large_binary())
    found = encoded_rows(
        rows(images, boxes=[[0, 0, 20, 20], [48, 0, 60, 9], None]),
        Encoder.load(encoder, threads=1),
        SourceOptions(max_bytes=1999),
        suspect=False,
        combine="best",
        metric="cosine",
    )
    assert found.ids == ["0"]
    assert [(f.stage, f.error[:40]) for f in found.failures] == [
        ("decode", "expected a box within the picture of 48 "),
        ("read", "2,000 bytes, more than corpus.max_bytes "),
    ]


def test_a_query_fails_with_the_first_of_its_rows_that_does():
    table = rows(
        vectors((1, 0), (0, 1), (0, 0), (1, 1)), list("aaab"), [0, 0, 0, 3], [None, "vector", None, None]
    )
    block = with_vectors(table, "best", "cosine")
    assert (block.ids, block.numbers.tolist()) == (["b"], [3])
    assert [tuple(f) for f in block.failures] == [(0, "a", "vector", "row 2 of 3 of this query: wrong")]


def test_the_first_row_of_a_query_tells_its_columns():
    table = rows(vectors((1, 0), (0, 1), (1, 1)), list("aab"), [0, 0, 2], where=["x", "y", "z"])
    assert with_vectors(table, "best", "cosine").columns["where"].to_pylist() == ["x", "x", "z"]
    assert with_vectors(table, "mean", "cosine").columns["where"].to_pylist() == ["x", "z"]


def test_means_are_of_unit_vectors_for_cosine_and_one_row_stays_as_it_is():
    table = rows(vectors((2, 0), (0, 9), (3, 4), (1, 0), (-5, 0)), list("aabcc"), [0, 0, 2, 3, 3])
    block = with_vectors(table, "mean", "cosine")
    assert (block.ids, block.vectors.tolist()) == (["a", "b"], [[0.5, 0.5], [3, 4]])
    (failure,) = block.failures
    assert (failure.number, failure.stage) == (3, "vector")
    assert failure.error == "the mean of its vectors: a vector of zeros has no direction"
    block = with_vectors(table, "mean", "euclidean")
    assert block.vectors.tolist() == [[1, 4.5], [3, 4], [-2, 0]]


@pytest.mark.parametrize("combine", ["best", "mean"])
def test_rows_of_nothing_but_failures_make_a_block_of_them(combine):
    table = rows(vectors((1, 0), (1, 0)), stages=["id", "id"])
    block = block_of(table, np.zeros((2, 2), np.float32), {}, combine, "cosine", "vector")
    assert (block.ids, block.vectors.shape, len(block.failures)) == ([], (0, 2), 2)
