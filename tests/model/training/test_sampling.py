"""Sampling: every epoch repeatable, every class as often as it should be, every image as often as the others."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.model.errors import LookalikeError
from lookalike.model.training.sampling import (
    SAMPLINGS,
    class_counts,
    class_prior,
    effective_number_weights,
    epoch_order,
    epoch_rng,
    pk_batches,
)

LONG_TAIL = np.repeat([0, 1, 2, 3, -1], [64, 16, 4, 1, 20])

# Gaps between the classes, unlabelled images among them, in any order.
labels_of = (
    st.lists(st.sampled_from([-1, 0, 1, 2, 5, 9]), min_size=1, max_size=60)
    .filter(lambda labels: max(labels) >= 0)
    .map(np.array)
)
seeds = st.integers(0, 2**32)


@given(labels_of, st.sampled_from(sorted(SAMPLINGS)), seeds)
def test_an_epoch_draws_labelled_images_evenly_and_repeats_by_seed_and_epoch(labels, sampling, seed):
    order = epoch_order(labels, sampling, epoch_rng(seed, 3))
    np.testing.assert_array_equal(order, epoch_order(labels, sampling, epoch_rng(seed, 3)))
    counts = class_counts(labels)
    assert len(order) == counts.sum()
    assert (labels[order] >= 0).all()
    expected = class_prior(counts, sampling) * counts.sum()
    drawn = np.bincount(labels[order], minlength=len(counts))
    assert (np.abs(drawn - expected) < 1 + 1e-4).all()
    for label in np.flatnonzero(counts):
        times = np.bincount(order, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


@given(labels_of, seeds)
def test_instance_sampling_is_every_labelled_image_once(labels, seed):
    order = epoch_order(labels, "instance", epoch_rng(seed, 0))
    np.testing.assert_array_equal(np.sort(order), np.flatnonzero(labels >= 0))


def test_epochs_and_seeds_differ():
    orders = [epoch_order(LONG_TAIL, "instance", epoch_rng(*of)) for of in ((0, 0), (0, 1), (1, 0))]
    assert len({order.tobytes() for order in orders}) == 3


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ("instance", [64, 16, 4, 1]),
        ("square_root", [45.33, 22.67, 11.33, 5.67]),
        ("class_balanced", [21.25] * 4),
    ],
)
def test_over_many_epochs_a_class_comes_as_often_as_its_power_says(sampling, expected):
    epochs = 400
    images = np.zeros(len(LONG_TAIL))
    for epoch in range(epochs):
        images += np.bincount(epoch_order(LONG_TAIL, sampling, epoch_rng(0, epoch)), minlength=len(images))
    drawn = np.bincount(LONG_TAIL[LONG_TAIL >= 0], weights=images[LONG_TAIL >= 0])
    # Four deviations of a mean of 400 coin tosses.
    np.testing.assert_allclose(drawn / epochs, expected, atol=4 * 0.5 / np.sqrt(epochs))
    # No image of a class is preferred: those of the largest, of which an epoch may hold only a third.
    np.testing.assert_allclose(images[:64], drawn[0] / 64, rtol=0.35)


def test_an_order_is_mixed_not_class_by_class():
    order = LONG_TAIL[epoch_order(LONG_TAIL, "class_balanced", epoch_rng(0, 0))]
    assert (np.diff(order) != 0).sum() > 40


@given(labels_of, st.integers(2, 4), st.integers(2, 5), seeds)
def test_a_pk_batch_has_p_classes_of_k_images_and_repeats_by_seed(labels, p, k, seed):
    counts = class_counts(labels)
    if np.count_nonzero(counts) < p:
        with pytest.raises(LookalikeError, match=f"classes_per_batch={p}"):
            pk_batches(labels, p, k, epoch_rng(seed, 0))
        return
    batches = pk_batches(labels, p, k, epoch_rng(seed, 0))
    np.testing.assert_array_equal(batches, pk_batches(labels, p, k, epoch_rng(seed, 0)))
    assert batches.shape == (-(-counts.sum() // (p * k)), p * k)
    for batch in batches.reshape(-1, p, k):
        classes = labels[batch]
        assert (classes == classes[:, :1]).all()
        assert len(set(classes[:, 0].tolist())) == p
        assert classes.min() >= 0
        for label, images in zip(classes[:, 0], batch, strict=True):
            times = Counter(images.tolist())
            assert len(times) == min(k, counts[label])
            assert max(times.values()) - min(times.values()) <= 1


@given(labels_of, st.integers(2, 4), st.integers(2, 5), seeds)
def test_no_class_and_no_image_of_a_class_comes_again_before_all_have_come(labels, p, k, seed):
    counts = class_counts(labels)
    present = np.flatnonzero(counts)
    if len(present) < p:
        return
    batches = pk_batches(labels, p, k, epoch_rng(seed, 0))
    classes = Counter(labels[batches[:, ::k]].ravel().tolist())
    times = [classes[label] for label in present.tolist()]
    assert max(times) - min(times) <= 1
    images = np.bincount(batches.ravel(), minlength=len(labels))
    for label in present[counts[present] >= k]:
        of_class = images[labels == label]
        assert of_class.max() - of_class.min() <= 1


def test_a_class_of_one_image_is_that_image_k_times():
    batches = pk_batches(np.array([0, 1, 1, 1]), 2, 3, epoch_rng(0, 0))
    assert sorted(batches[0].tolist()) == [0, 0, 0, 1, 2, 3]


def test_classes_meet_in_changing_company():
    labels = np.repeat(np.arange(6), 20)
    batches = pk_batches(labels, 3, 2, epoch_rng(0, 0))
    assert len({frozenset(labels[batch].tolist()) for batch in batches}) > 10


def test_priors_by_hand():
    counts = np.array([1, 4, 0, 9])
    np.testing.assert_allclose(class_prior(counts), np.array([1, 4, 0, 9]) / 14)
    np.testing.assert_allclose(class_prior(counts, "square_root"), np.array([1, 2, 0, 3]) / 6)
    np.testing.assert_allclose(class_prior(counts, "class_balanced"), np.array([1, 1, 0, 1]) / 3)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20), st.floats(0, 0.9999))
def test_effective_number_weights_are_the_series_of_the_paper_with_mean_one(counts, beta):
    found = effective_number_weights(np.array(counts), beta)
    # The effective number as the sum of beta^j that the closed form stands for.
    inverse = np.array([1 / (beta ** np.arange(count, dtype=np.float64)).sum() for count in counts])
    np.testing.assert_allclose(found, inverse / inverse.mean(), rtol=1e-6)
    assert found.mean() == pytest.approx(1)


def test_effective_number_weights_go_from_equal_to_inverse_frequency():
    counts = np.array([1, 10, 100])
    np.testing.assert_allclose(effective_number_weights(counts, 0), 1)
    inverse = (1 / counts) / (1 / counts).mean()
    np.testing.assert_allclose(effective_number_weights(counts, 1 - 1e-9), inverse, rtol=1e-4)


RNG = epoch_rng(0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epoch_order(LONG_TAIL, "uniform", RNG), "instance, square_root, class_balanced"),
        (lambda: epoch_order(np.array([-1, -1]), "instance", RNG), "Received: 2 without a label"),
        (lambda: epoch_order(np.array([], int), "instance", RNG), "Received: 0 without a label"),
        (lambda: epoch_order(np.array([0.0, 1.0]), "instance", RNG), "Received: float64"),
        (lambda: epoch_order(np.array([[0, 1]]), "instance", RNG), r"of shape \(1, 2\)"),
        (lambda: pk_batches(LONG_TAIL, 1, 4, RNG), "classes_per_batch=1"),
        (lambda: pk_batches(LONG_TAIL, 4, 1, RNG), "images_per_class=1"),
        (lambda: pk_batches(LONG_TAIL, 5, 4, RNG), "4 classes, classes_per_batch=5"),
        (lambda: effective_number_weights(np.array([3, 0, 1])), r"none of \[1\]"),
        (lambda: effective_number_weights(np.array([3]), 1.0), "beta=1.0"),
    ],
)
def test_what_cannot_be_sampled_is_refused_with_the_reason(call, message):
    with pytest.raises(LookalikeError, match=message):
        call()
