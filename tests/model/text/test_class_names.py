"""A text asks for the classes whose names are nearest to it."""

from __future__ import annotations

import numpy as np

from lookalike.model.encoder.projection import Projection
from lookalike.model.text.class_names import NEAREST, ClassNames, directions

NAMES = ("cat", "dog", "car", "bus", "hat", "cup")
CLASSES = ClassNames(NAMES, np.eye(6, 8, dtype=np.float32), np.eye(6, 4, dtype=np.float32))


def test_a_name_asks_for_its_class_and_says_the_five_nearest():
    queries, understood = CLASSES.apply(np.eye(8, dtype=np.float32)[1:3])
    np.testing.assert_allclose(queries, np.eye(4)[1:3], atol=1e-6)
    assert [one.split("; ")[0] for one in understood] == ["dog", "car"]
    assert all(len(one.split("; ")) == NEAREST for one in understood)


def test_a_text_between_two_names_asks_for_both():
    between = np.float32([[1, 1, 0, 0, 0, 0, 0, 0]]) / np.sqrt(np.float32(2))
    queries, understood = CLASSES.apply(between)
    np.testing.assert_allclose(queries[0, :2], [0.5**0.5] * 2, rtol=1e-3)
    assert understood[0].startswith("cat; dog; ")


def test_directions_are_the_weights_less_their_mean_projected():
    weights = np.float32([[3, 1, 0], [1, 1, 2], [2, 1, 1]])
    projection = Projection(2)
    projection.mean_, projection.components_ = np.float32([9, 9, 9]), np.float32([[1, 0, 0], [0, 0, 2]])
    found = directions(weights[:2], projection)
    np.testing.assert_allclose(found, np.array([[1, -2], [-1, 2]]) / 5**0.5, atol=1e-6)
    np.testing.assert_allclose(directions(weights[:2], None)[0], np.array([1, 0, -1]) / 2**0.5, atol=1e-6)
