"""Cells of a query table, one at a time; what they come to in tables is tested with their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lookalike.query.table_cells import Problems, edges_of, images_of, place_of, text_cell, vectors_of


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        ([0.4, 0.5, 1.05, 1], [0, 1, 1, 2]),
        ([-0.6, -0.5, 2, 2], [-1, 0, 1, 2]),
        ([1e308, 0, 1e308, 1], [1 << 30, 0, 1 << 30, 1]),
        ([-1e308, 0, 1, 10**400], None),
    ],
)
def test_edges_are_rounded_and_far_ones_are_numbers_still(box, edges):
    problems = Problems()
    assert edges_of(box, 3, problems) == edges
    assert list(problems.errors) == ([] if edges else [3])


def test_the_first_error_of_a_row_counts():
    problems = Problems()
    problems.fail(1, "id", "one")
    problems.fail(1, "box", "two")
    assert problems.errors == {1: ("id", "one")}


def test_a_struct_without_bytes_holds_no_picture():
    problems = Problems()
    assert images_of(pa.array([{"path": "x"}, None]), problems).to_pylist() == [None, None]
    assert problems.errors[0][1].startswith("expected an image in base64. Received: {'path': 'x'}")
    assert problems.errors[1] == ("read", "the image is null")


def test_numbers_name_items_and_no_paths():
    problems = Problems()
    assert text_cell(7, 0, problems, "lookup", "item_id") == "7"
    assert text_cell(7, 1, problems, "read", "path") is None
    assert problems.errors == {1: ("read", "the path cannot be used: expected text. Received: int")}


def test_relative_paths_begin_at_a_folder_or_a_url():
    assert place_of("s3://b/asked", "x/y.jpg") == "s3://b/asked/x/y.jpg"
    assert place_of("s3://b/asked", "/y.jpg") == "/y.jpg"
    assert place_of("/a", "gs://c/y.jpg") == "gs://c/y.jpg"


def test_vectors_that_float32_cannot_hold_are_infinite():
    problems = Problems()
    found = vectors_of([[1e300, -(10**400)], "[NaN, 1]"], 2, problems)
    assert found.to_pylist()[0] == [np.inf, np.inf]
    assert np.isnan(found.to_pylist()[1][0])
    assert not problems.errors


def test_what_is_not_wholly_base64_is_no_picture():
    problems = Problems()
    assert images_of(["aGVs\nbG8=", "aGVs!bG8="], problems).to_pylist() == [b"hello", None]
    assert problems.errors[1][1].startswith("the image is not base64")
