"""Which images a training epoch sees, in which order, and how much a class counts. NumPy only.

`labels` is everywhere an int array of shape (images,): the class of each image from 0, or negative for an image
without a label, which is never drawn. What is drawn depends on the labels and the generator alone: with
`epoch_rng(seed, epoch)` a training that was killed draws the same epoch again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import LookalikeError

SAMPLINGS = {"instance": 1.0, "square_root": 0.5, "class_balanced": 0.0}
"""The exponent q of each sampling: a class of n images is drawn in proportion to n^q."""

_TICKS = 1 << 20


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator of one epoch, which no epoch before it has touched; both numbers are 0 or more."""
    return np.random.default_rng((seed, epoch))


def class_counts(labels: np.ndarray) -> np.ndarray:
    """Images of each class: int array of shape (classes,), up to the largest label.

    Raises:
        LookalikeError: if no image has a label.

    >>> class_counts(np.array([0, 2, -1, 2])).tolist()
    [1, 0, 2]
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise LookalikeError(
            f"Expected whole-number labels of shape (images,). Received: {labels.dtype} of shape {labels.shape}"
        )
    if not (labels >= 0).any():
        raise LookalikeError(f"Expected at least one labelled image. Received: {len(labels)} without a label")
    return np.bincount(labels[labels >= 0])


def class_prior(counts: np.ndarray, sampling: str = "instance") -> np.ndarray:
    """The probability with which each class is drawn: p_j = n_j^q / sum over i of n_i^q.

    Its logarithm under `instance` is the `log_prior` of the losses' logit adjustment. Adjust for what is drawn:
    under `class_balanced` nothing is left to adjust.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020,
    equation 1; q = 1/2 is from Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining", ECCV 2018.

    Args:
        counts: int array of shape (classes,); a class of 0 images is never drawn.
        sampling: one of `SAMPLINGS`.

    Returns:
        Array of shape (classes,), float64, sum 1.

    >>> class_prior(np.array([1, 4]), "square_root").round(3).tolist()
    [0.333, 0.667]
    """
    if sampling not in SAMPLINGS:
        raise LookalikeError(f"Expected a sampling of {', '.join(SAMPLINGS)}. Received: sampling={sampling}")
    share = np.where(counts > 0, np.power(counts, SAMPLINGS[sampling], dtype=np.float64), 0)
    return share / share.sum()


def effective_number_weights(counts: np.ndarray, beta: float = 0.999) -> np.ndarray:
    """Weights of classes by the inverse of their effective number of images, (1 - beta) / (1 - beta^n).

    They are sample weights, not part of a loss: pass `weights[labels]` to Keras as `sample_weight`. Use them with
    `instance` sampling; with another one a rare class would count twice.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, proposition 1 and
    section 4, which also scales them to a sum of `classes`.

    Args:
        counts: int array of shape (classes,), at least 1 each.
        beta: from 0, where all weights are 1, to below 1, near which they go with 1 / n.

    Returns:
        Array of shape (classes,), float64, mean 1.

    >>> effective_number_weights(np.array([1, 2]), beta=0.5).round(3).tolist()
    [1.2, 0.8]
    """
    if not 0 <= beta < 1:
        raise LookalikeError(f"Expected beta from 0 to below 1. Received: beta={beta}")
    if not (counts > 0).all():
        lacking = np.flatnonzero(counts <= 0).tolist()
        raise LookalikeError(f"Expected at least one image of each class. Received: none of {lacking}")
    weights = (1 - beta) / (1 - np.power(beta, counts, dtype=np.float64))
    return weights / weights.mean()


def epoch_order(labels: np.ndarray, sampling: str, rng: np.random.Generator) -> np.ndarray:
    """The images of one epoch, as many as have a label, in random order.

    Not drawn one by one but dealt out: each class comes as often as `class_prior` expects, rounded at random up
    or down, and each image of a class as often as the others, give or take one. So `instance` is every labelled
    image once.

    Args:
        labels: int array of shape (images,).
        sampling: one of `SAMPLINGS`.
        rng: from `epoch_rng`.

    Returns:
        Int array of shape (labelled images,): positions in `labels`.

    Raises:
        LookalikeError: for another sampling, or if no image has a label.
    """
    counts = class_counts(labels)
    quotas = _rounded(class_prior(counts, sampling), counts.sum(), rng)
    shuffled = rng.permutation(np.flatnonzero(labels >= 0))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # The first `quota` images of each class, starting over where the class has fewer.
    first, nth = np.cumsum(counts) - counts, np.arange(counts.sum())
    nth -= np.repeat(np.cumsum(quotas) - quotas, quotas)
    drawn = by_class[np.repeat(first, quotas) + nth % np.repeat(counts, quotas)]
    return rng.permutation(drawn)


def _rounded(shares: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers of sum `total`, each of them `share * total` rounded up or down, and that on average."""
    # Systematic sampling: one random offset for all edges. In whole ticks, as a rounding error in an edge would
    # take an image from its class.
    edges = np.rint(np.cumsum(shares) * total * _TICKS).astype(np.int64)
    edges[-1] = total * _TICKS
    return np.diff((edges + rng.integers(_TICKS)) // _TICKS, prepend=0)


def pk_batches(
    labels: np.ndarray, classes_per_batch: int, images_per_class: int, rng: np.random.Generator
) -> np.ndarray:
    """Batches of P classes with K images each, for losses that compare the images of a batch.

    All classes come once before any comes again, and so do the images of a class. A class of fewer than K images
    repeats them to K. A class with a single image is then K copies of it: a real negative for others, and for
    itself only as good a positive as the augmentation makes it.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, section 2.

    Args:
        labels: int array of shape (images,).
        classes_per_batch: P, at least 2.
        images_per_class: K, at least 2.
        rng: from `epoch_rng`.

    Returns:
        Int array of shape (batches, P * K): positions in `labels`, the images of a class side by side. There are
        just enough batches to hold as many images as have a label.

    Raises:
        LookalikeError: for P or K below 2, or fewer than P classes.
    """
    if min(classes_per_batch, images_per_class) < 2:
        raise LookalikeError(
            "Expected at least 2 classes a batch and 2 images a class. "
            f"Received: classes_per_batch={classes_per_batch}, images_per_class={images_per_class}"
        )
    counts = class_counts(labels)
    present = np.flatnonzero(counts)
    if len(present) < classes_per_batch:
        raise LookalikeError(
            f"Expected at least as many classes as in a batch. "
            f"Received: {len(present)} classes, classes_per_batch={classes_per_batch}"
        )
    by_class = np.split(np.argsort(labels, kind="stable")[(labels < 0).sum() :], np.cumsum(counts)[:-1])
    images = {c: _in_rounds(by_class[c], images_per_class, rng) for c in present.tolist()}
    classes = _in_rounds(present, classes_per_batch, rng)
    batches = -(-counts.sum() // (classes_per_batch * images_per_class))
    return np.stack(
        [np.concatenate([next(images[c]) for c in next(classes).tolist()]) for _ in range(batches)]
    )


def _in_rounds(items: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless groups of `size`, distinct if there are that many; all items come before any comes again."""
    if len(items) < size:
        while True:
            yield np.resize(rng.permutation(items), size)
    waiting = items[:0]
    while True:
        if len(waiting) < size:
            fresh = rng.permutation(items)
            # Those still waiting from the last round go into this group: not again before the next.
            again = np.isin(fresh, waiting)
            waiting = np.concatenate([waiting, fresh[~again], fresh[again]])
        yield waiting[:size]
        waiting = waiting[size:]
