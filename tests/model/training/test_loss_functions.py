"""Losses have the numbers of plain loops, written from the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lookalike.model.training.loss_functions import simplex_scale
from lookalike.model.training.losses import LOSSES
from tests.support.losses import BATCH, LABELS, PREDICTIONS, losses_of


def softmax(logits):
    powers = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(powers) for x in powers]


def by_cross_entropy(label, logits, smoothing=0.0):
    total = 0.0
    for c, p in enumerate(softmax(logits)):
        target = label[c] if np.ndim(label) else float(c == label)
        total -= ((1 - smoothing) * target + smoothing / len(logits)) * math.log(p)
    return total


def by_focal(label, logits, gamma=2.0):
    p = softmax(logits)[label]
    return -((1 - p) ** gamma) * math.log(p)


def with_margin(label, cosines, scale, shifted):
    return by_cross_entropy(label, [scale * (shifted(x) if c == label else x) for c, x in enumerate(cosines)])


def by_cosface(label, cosines, scale=64.0, margin=0.35):
    return with_margin(label, cosines, scale, lambda x: x - margin)


def by_arcface(label, cosines, scale=64.0, margin=0.5, easy_margin=False):
    def shifted(cosine):
        angle = math.acos(cosine)
        if easy_margin:
            return math.cos(angle + margin) if angle < math.pi / 2 else cosine
        if angle + margin < math.pi:
            return math.cos(angle + margin)
        return cosine - margin * math.sin(math.pi - margin)

    return with_margin(label, cosines, scale, shifted)


def by_proxy_anchor(labels, cosines, scale=32.0, margin=0.1):
    pull, push, here = 0.0, 0.0, set(labels.tolist())
    for c in range(cosines.shape[1]):
        own = [math.exp(-scale * (s - margin)) for s, y in zip(cosines[:, c], labels, strict=True) if y == c]
        others = [
            math.exp(scale * (s + margin)) for s, y in zip(cosines[:, c], labels, strict=True) if y != c
        ]
        pull += math.log(1 + sum(own)) if c in here else 0
        push += math.log(1 + sum(others))
    return [pull / len(here) + push / cosines.shape[1]] * len(labels)


def pairs(anchor, labels, embeddings):
    """Cosines of the anchor with its positives and with its negatives."""
    cosines = {i: float(embeddings[anchor] @ x) for i, x in enumerate(embeddings) if i != anchor}
    positives = [s for i, s in cosines.items() if labels[i] == labels[anchor]]
    return positives, [s for i, s in cosines.items() if labels[i] != labels[anchor]]


def by_circle(labels, embeddings, gamma=80.0, margin=0.4):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = pairs(anchor, labels, embeddings)
        pull = sum(math.exp(-gamma * max(0, 1 + margin - s) * (s - (1 - margin))) for s in positives)
        push = sum(math.exp(gamma * max(0, s + margin) * (s - margin)) for s in negatives)
        found.append(math.log(1 + push * pull))
    return found


def by_supervised_contrastive(labels, embeddings, temperature=0.1):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = pairs(anchor, labels, embeddings)
        everyone = sum(math.exp(s / temperature) for s in positives + negatives)
        terms = [-math.log(math.exp(s / temperature) / everyone) for s in positives]
        found.append(sum(terms) / len(terms) if terms else 0)
    return found


def by_batch_hard_triplet(labels, embeddings, margin=None):
    found = []
    for anchor in range(len(labels)):
        positives, negatives = (
            [math.sqrt(2 - 2 * s) for s in of] for of in pairs(anchor, labels, embeddings)
        )
        if not positives or not negatives:
            found.append(0.0)
            continue
        excess = max(positives) - min(negatives)
        found.append(math.log(1 + math.exp(excess)) if margin is None else max(0, margin + excess))
    return found


def row_by_row(function, scaled=1.0):
    return lambda labels, rows, **options: [
        function(label, scaled * row, **options) for label, row in zip(labels, rows, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("cross_entropy", {}, row_by_row(by_cross_entropy)),
        ("cross_entropy", {"label_smoothing": 0.2}, row_by_row(lambda y, x: by_cross_entropy(y, x, 0.2))),
        ("focal", {}, row_by_row(by_focal)),
        ("focal", {"gamma": 0.5}, row_by_row(lambda y, x: by_focal(y, x, 0.5))),
        ("focal", {"gamma": 0.0}, row_by_row(by_cross_entropy)),
        ("norm_softmax", {"scale": 16}, row_by_row(lambda y, x: by_cross_entropy(y, x, 0.1), 16)),
        (
            "norm_softmax",
            {},
            lambda labels, rows: [
                by_cross_entropy(y, simplex_scale(len(x)) * x, 0.1) for y, x in zip(labels, rows, strict=True)
            ],
        ),
        ("norm_softmax", {"scale": 20.0, "label_smoothing": 0.0}, row_by_row(by_cross_entropy, 20)),
        ("cosface", {}, row_by_row(by_cosface)),
        ("cosface", {"scale": 30.0, "margin": 0.2}, row_by_row(lambda y, x: by_cosface(y, x, 30, 0.2))),
        ("arcface", {}, row_by_row(by_arcface)),
        ("arcface", {"scale": 8.0, "margin": 1.0}, row_by_row(lambda y, x: by_arcface(y, x, 8, 1))),
        ("arcface", {"easy_margin": True}, row_by_row(lambda y, x: by_arcface(y, x, easy_margin=True))),
        ("proxy_anchor", {}, by_proxy_anchor),
        ("proxy_anchor", {"scale": 8, "margin": 0.3}, lambda y, x: by_proxy_anchor(y, x, 8, 0.3)),
        ("circle", {}, by_circle),
        ("circle", {"gamma": 32, "margin": 0.25}, lambda y, x: by_circle(y, x, 32, 0.25)),
        ("supervised_contrastive", {}, by_supervised_contrastive),
        ("supervised_contrastive", {"temperature": 0.5}, lambda y, x: by_supervised_contrastive(y, x, 0.5)),
        ("batch_hard_triplet", {}, by_batch_hard_triplet),
        ("batch_hard_triplet", {"margin": 0.2}, lambda y, x: by_batch_hard_triplet(y, x, 0.2)),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_numbers_are_those_of_plain_loops(name, options, expected):
    predictions = PREDICTIONS[LOSSES[name].head]
    found = losses_of(name, LABELS, predictions, **options)
    assert (found.shape, found.dtype) == ((BATCH,), np.float32)
    np.testing.assert_allclose(found, expected(LABELS, predictions), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("easy_margin", [False, True])
def test_arcface_follows_the_angle_all_the_way_and_never_falls_with_it(easy_margin):
    angles = np.linspace(0.01, math.pi - 0.01, 60)
    cosines = np.stack([np.cos(angles), np.zeros(60)], axis=1)
    found = losses_of("arcface", np.zeros(60), cosines, scale=4.0, easy_margin=easy_margin)
    expected = [by_arcface(0, row, scale=4.0, easy_margin=easy_margin) for row in cosines]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (np.diff(found) > 0).all() or easy_margin


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_the_simplex_scale_is_the_one_at_which_a_regular_simplex_has_no_gradient(classes, smoothing):
    cosines = np.full(classes, -1 / (classes - 1))
    cosines[0] = 1
    powers = np.exp(simplex_scale(classes, smoothing) * cosines)
    expected = np.full(classes, smoothing / classes)
    expected[0] += 1 - smoothing
    np.testing.assert_allclose(powers / powers.sum(), expected, atol=1e-12)
