"""Retrieval within a set, on embeddings whose order a reader can see."""

import numpy as np
import pytest

from lookalike.model.errors import LookalikeError
from lookalike.model.training import validation
from lookalike.model.training.validation import leave_one_out, queries_of


def angles(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_each_image_asks_for_the_others_of_its_class():
    # 0 and 50 are of one class with 10 of another between: only 11, alone in front of 10's sight, is its partner.
    embeddings, labels = angles(0, 50, 10, 11), np.array([0, 0, 1, 1])
    # 0 sees 10, 11, 50: AP 1/3. 50 sees 11, 10, 0: AP 1/3. 10 and 11 see each other first.
    assert leave_one_out(embeddings, labels) == {
        "map_at_r": 0.5,
        "hit_rate_at_1": 0.5,
        "map": pytest.approx((1 / 3 + 1 / 3 + 1 + 1) / 4),
    }


def test_an_image_alone_in_its_class_asks_nothing_but_stands_in_the_way():
    embeddings, labels = angles(0, 20, 10), np.array([0, 0, 1])
    assert queries_of(labels).tolist() == [0, 1]
    assert leave_one_out(embeddings, labels)["hit_rate_at_1"] == 0


def test_length_does_not_matter_and_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(40, 3)), rng.integers(0, 5, 40)
    whole = leave_one_out(embeddings, labels)
    assert leave_one_out(embeddings * rng.uniform(0.1, 9, (40, 1)), labels) == pytest.approx(whole)
    monkeypatch.setattr(validation, "_CELLS", 100)
    assert leave_one_out(embeddings, labels) == pytest.approx(whole)


@pytest.mark.parametrize("labels", [[], [0, 1, 2]])
def test_without_two_images_of_a_class_there_is_nothing_to_measure(labels):
    with pytest.raises(LookalikeError, match="a class with two images"):
        queries_of(np.array(labels, np.int64))


def test_an_embedding_that_is_not_finite_is_refused():
    with pytest.raises(LookalikeError, match="finite embeddings"):
        leave_one_out(np.array([[1.0], [np.nan]]), np.array([0, 0]))
