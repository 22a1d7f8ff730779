"""The network between texts and images: its gradient, what it learns, and when a text goes by a label."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lookalike.model.encoder.projection import unit_length
from lookalike.model.text import tower
from lookalike.model.text.tower import Tower, fit


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def learnt() -> tuple[Tower, np.ndarray, np.ndarray]:
    """A tower of three labels, the vectors of the labels, and the middles of their images."""
    texts, middles = unit_length(drawn(3, 24)), unit_length(drawn(3, 6, seed=1))
    of_image = np.arange(60) % 3
    images = unit_length(middles[of_image] + 0.1 * drawn(60, 6, seed=2))
    return fit(texts, of_image, images, ("red", "deep blue", "green")), texts, middles


def test_a_text_finds_the_images_of_its_own(learnt):
    found, texts, middles = learnt
    queries, understood = found.apply(texts, found.labels)
    assert ((queries @ middles.T).argmax(axis=1) == [0, 1, 2]).all()
    assert understood == ["red", "deep blue", "green"]
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-6)


def test_a_text_near_a_label_goes_by_it_unless_it_has_one_of_its_words(learnt):
    found, texts, _ = learnt
    near = unit_length(texts[[1]] + 0.1 * drawn(1, 24, seed=3))
    label, _ = found.apply(texts[[1]], ["deep blue"])
    taken, understood = found.apply(near, ["navy"])
    np.testing.assert_array_equal(taken, label)
    assert understood == ["deep blue"]
    own, understood = found.apply(near, ["a blue hat"])
    assert understood == [None]
    assert not np.array_equal(own, label)
    far, understood = found.apply(unit_length(drawn(1, 24, seed=4)), ["elephant"])
    assert understood == [None]
    assert not np.array_equal(far, label)


def test_captions_are_never_labels(learnt):
    found, texts, _ = learnt
    captions = dataclasses.replace(found, labels=(), texts=texts[:0])
    assert captions.apply(texts, ["red", "deep blue", "green"])[1] == [None] * 3


def test_the_same_texts_and_images_give_the_same_bytes(learnt, monkeypatch):
    monkeypatch.setattr(tower, "_LEAST_STEPS", 30)
    _, texts, middles = learnt
    one, two = (fit(texts, np.arange(3), middles) for _ in range(2))
    np.testing.assert_array_equal(one.outer, two.outer)
    assert one.labels == ()
    assert len(one.texts) == 0


def test_the_gradient_is_that_of_the_loss():
    parts = [part.astype(np.float64) for part in (drawn(5, 7), drawn(7), drawn(7, 4), drawn(4))]
    x, images = drawn(6, 5, seed=1).astype(float), unit_length(drawn(6, 4, seed=2)).astype(float)
    which = np.array([0, 1, 2, 0, 1, 3])

    def loss() -> float:
        found = np.maximum(x @ parts[0] + parts[1], 0) @ parts[2] + parts[3]
        scores = 20 * (found / np.linalg.norm(found, axis=1, keepdims=True)) @ images.T
        same = (which[:, None] == which) / (which[:, None] == which).sum(axis=1, keepdims=True)
        rows = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        columns = scores - np.log(np.exp(scores).sum(axis=0, keepdims=True))
        return float(-(same * rows + same.T * columns).sum() / (2 * len(x)))

    found = tower._gradients(parts, x, images, which)
    for part, gradient in zip(parts, found, strict=True):
        place = (0,) * part.ndim
        losses = []
        for step in (1e-5, -2e-5):
            part[place] += step
            losses.append(loss())
        part[place] += 1e-5
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient[place], rel=1e-3, abs=1e-6)
