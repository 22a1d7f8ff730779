"""NumPy files of query vectors: row numbers are ids, and what is no array of vectors is a sentence."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.query import vector_arrays
from tests.support.memory import measured
from tests.support.queries import corpus, noisy


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("--", "--runner=DirectRunner"), marks=pytest.mark.slow)]
)
def test_vectors_of_an_array_are_answered_like_those_of_parquet(copied, workers, monkeypatch):
    monkeypatch.setattr(vector_arrays, "_ROWS", 3)
    vectors = noisy(corpus(copied)[1], 7)
    vectors[2, 1] = np.nan
    assert copied.query(copied.vectors_file(vectors), "-k", 2).code == 0
    expected, failures = copied.results, copied.failures
    np.save(copied.folder / "q.npy", vectors)
    assert copied.query(copied.folder / "q.npy", "-k", 2, *workers).code == 0
    assert (copied.results, copied.failures) == (expected, failures)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
def test_floats_of_other_sizes_are_read(tmp_path, dtype):
    array = np.array([[0.5, 2], [-1, 0.25]], dtype)
    np.save(tmp_path / "a.npy", array)
    (found,) = vector_arrays.vector_arrays(str(tmp_path / "a.npy"), 2)
    assert found.to_pylist() == array.tolist()
    assert list(vector_arrays.vector_array_columns(str(tmp_path / "a.npy"))) == ["vector"]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(4, np.float32), r"of shape \(n, dim\)\. Received: shape \(4,\), float32"),
        (np.zeros((2, 2), np.int64), r"Received: shape \(2, 2\), int64"),
        (np.asfortranarray(np.zeros((3, 2))), "float64, column by column"),
        (np.array([[{}, {}]], object), r"Received: shape \(1, 2\), object"),
        (np.zeros((2, 0)), r"Received: shape \(2, 0\)"),
        (np.zeros((2, 3)), r"expected vectors of 2 numbers\. Received: an array of shape \(2, 3\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(LookalikeError, match=said):
        list(vector_arrays.vector_arrays(str(tmp_path / "a.npy"), 2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x00v\x00{}",
        b"\x93NUMPY\x01\x00\x05\x00[1,2]",
        b"\x93NUMPY\x01\x00\x02\x00{(",
    ],
)
def test_what_is_no_array_is_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(LookalikeError, match="a NumPy array of floats"):
        vector_arrays.vector_array_columns(str(tmp_path / "a.npy"))


def test_an_array_that_is_cut_short_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 2), np.float32))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(LookalikeError, match=r"shape \(5, 2\)\. Received: a file that is cut short"):
        list(vector_arrays.vector_arrays(str(tmp_path / "a.npy"), 2))


def test_a_header_is_not_read_for_as_long_as_it_says(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (1 << 29).to_bytes(4, "little"))
    os.truncate(path, 1 << 29)

    def refused() -> None:
        with pytest.raises(LookalikeError, match="a NumPy array of floats"):
            vector_arrays.vector_array_columns(str(path))

    assert measured(refused)[1] < 64 << 20
