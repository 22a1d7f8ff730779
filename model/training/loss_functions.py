"""The formulas of the losses: pure functions, each with its options, their defaults and its source.

The first argument is what is right, the second what the network says; `losses` makes them of labels, and says which
head each formula is for.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from ..errors import LookalikeError

_NEVER = -1e9
"""Minus infinity where a pair does not count, yet finite: no difference of two is NaN."""
_TINY = 1e-6
"""Least square of a sine or a distance: the gradient of the square root is infinite at 0."""


def cross_entropy(
    targets: Any, logits: Any, label_smoothing: float = 0.0, log_prior: Any = None, tau: float = 1.0
) -> Any:
    """Softmax cross-entropy: -sum over c of q_c log softmax(logits)_c.

    Sources: label smoothing, q = (1 - e) * target + e / classes, is from Szegedy et al., "Rethinking the Inception
    Architecture for Computer Vision", CVPR 2016, section 7; logit adjustment, logits + tau * log_prior, from Menon
    et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, equation 10.

    Args:
        targets: one-hot or probabilities, (batch, classes).
        logits: (batch, classes).
        label_smoothing: e, from 0 to 1.
        log_prior: natural logarithm of each class's share of the training images (`sampling.class_prior`), a
            sequence of length `classes`; None adjusts nothing.
        tau: strength of the adjustment.

    Returns:
        (batch,).
    """
    targets = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    return -ops.sum(targets * ops.log_softmax(_adjusted(logits, log_prior, tau)), axis=-1)


def _adjusted(logits: Any, log_prior: Any, tau: float) -> Any:
    if log_prior is None:
        return logits
    if len(log_prior) != logits.shape[-1]:
        raise LookalikeError(
            f"Expected a log_prior for each class of the head. "
            f"Received: {len(log_prior)} for {logits.shape[-1]} classes"
        )
    return logits + ops.convert_to_tensor([tau * share for share in log_prior], dtype=logits.dtype)


def focal(targets: Any, logits: Any, gamma: float = 2.0, log_prior: Any = None, tau: float = 1.0) -> Any:
    """Focal loss on the softmax, which turns from what is already easy: -(1 - p)^gamma log p, p of the right class.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4. For soft targets it is the
    mean over classes, weighted by target.

    Args:
        targets: one-hot or probabilities, (batch, classes).
        logits: (batch, classes).
        gamma: 0 is cross-entropy.
        log_prior, tau: as in `cross_entropy`.

    Returns:
        (batch,).
    """
    log_p = ops.log_softmax(_adjusted(logits, log_prior, tau))
    # 1 - p without cancellation. A power below 1 has an infinite gradient at 0.
    rest = ops.maximum(-ops.expm1(log_p), _TINY)
    return -ops.sum(targets * rest**gamma * log_p, axis=-1)


def norm_softmax(
    targets: Any,
    cosines: Any,
    scale: float | None = None,
    label_smoothing: float = 0.1,
    log_prior: Any = None,
    tau: float = 1.0,
) -> Any:
    """Normalised softmax: cross-entropy of scale * cosines.

    Source: Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019, section 3, with
    1 / scale as temperature; first in Wang et al., "NormFace", ACM Multimedia 2017.

    Args:
        targets: one-hot or probabilities, (batch, classes).
        cosines: (batch, classes).
        scale: what the cosines are multiplied with; None for `simplex_scale`.
        label_smoothing, log_prior, tau: as in `cross_entropy`; the prior is added after scaling.

    Returns:
        (batch,).
    """
    scale = simplex_scale(cosines.shape[-1], label_smoothing) if scale is None else scale
    return cross_entropy(targets, scale * cosines, label_smoothing, log_prior, tau)


def simplex_scale(classes: int, label_smoothing: float = 0.1) -> float:
    """The scale of cosines at which the smoothed labels are met when classes lie as far apart as they can.

    That is when all images of a class are one point, and the cosine of any two classes is -1 / (classes - 1). A
    larger scale meets the labels before images of a class have come together, a smaller one never.

    Source: Wang et al., "NormFace", ACM Multimedia 2017, proposition 2, solved for the scale. Without smoothing it
    has no solution; 0.1 is the least that is counted with.

    >>> round(simplex_scale(10), 2), round(simplex_scale(1000), 2)
    (4.06, 9.1)
    """
    others = (classes - 1) / classes
    rest = others * min(max(label_smoothing, 0.1), 0.9)
    return others * math.log((classes - 1) * (1 - rest) / rest)


def cosface(
    targets: Any,
    cosines: Any,
    scale: float = 64.0,
    margin: float = 0.35,
    log_prior: Any = None,
    tau: float = 1.0,
) -> Any:
    """Additive cosine margin: cross-entropy of scale * (cos - margin) for the right class, scale * cos for others.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, equation 4.

    Args:
        targets: one-hot, (batch, classes).
        cosines: (batch, classes).
        scale: s of the paper.
        margin: m of the paper, a difference of cosines.
        log_prior, tau: as in `cross_entropy`, added after scaling.

    Returns:
        (batch,).
    """
    return cross_entropy(targets, scale * (cosines - margin * targets), log_prior=log_prior, tau=tau)


def arcface(
    targets: Any,
    cosines: Any,
    scale: float = 64.0,
    margin: float = 0.5,
    easy_margin: bool = False,
    log_prior: Any = None,
    tau: float = 1.0,
) -> Any:
    """Additive angular margin: cross-entropy of scale * cos(angle + margin) for the right class.

    Past angle + margin = pi that cosine would rise again; there, as in the authors' code, it is
    cos - margin * sin(margin), which goes on falling.

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, equation 3.

    Args:
        targets: one-hot, (batch, classes).
        cosines: (batch, classes); sines under 0.001 (angles under 0.06 degrees) count as that.
        scale: s of the paper.
        margin: m of the paper, radians.
        easy_margin: only where the angle is under 90 degrees, and the plain cosine elsewhere.
        log_prior, tau: as in `cross_entropy`, added after scaling.

    Returns:
        (batch,).
    """
    sines = ops.sqrt(ops.maximum((1 - cosines) * (1 + cosines), _TINY))
    shifted = cosines * math.cos(margin) - sines * math.sin(margin)
    if easy_margin:
        shifted = ops.where(cosines > 0, shifted, cosines)
    else:
        shifted = ops.where(cosines > -math.cos(margin), shifted, cosines - margin * math.sin(margin))
    logits = scale * ops.where(targets > 0, shifted, cosines)
    return cross_entropy(targets, logits, log_prior=log_prior, tau=tau)


def proxy_anchor(targets: Any, cosines: Any, scale: float = 32.0, margin: float = 0.1) -> Any:
    """Proxy-Anchor: each class vector pulls its images of the batch, and pushes all others, the hardest most.

    mean over classes in the batch of log(1 + sum over own images of exp(-scale * (cos - margin)))
    + mean over all classes of log(1 + sum over other images of exp(scale * (cos + margin))).

    Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020, equation 4. The proxies are the
    weights of the cosine head.

    Args:
        targets: one-hot, (batch, classes).
        cosines: (batch, classes).
        scale: alpha of the paper.
        margin: delta of the paper, a difference of cosines.

    Returns:
        (batch,), the loss of the whole batch in each row: a sample weight weighs the batch, not its image.
    """
    own = targets > 0
    pull = ops.where(own, -scale * (cosines - margin), _NEVER)
    push = ops.where(own, _NEVER, scale * (cosines + margin))
    pull, push = (ops.softplus(ops.logsumexp(x, axis=0)) for x in (pull, push))
    classes_here = ops.sum(ops.max(targets, axis=0))
    return (ops.sum(pull) / classes_here + ops.mean(push)) * ops.ones_like(cosines[:, 0])


def circle(labels: Any, embeddings: Any, gamma: float = 80.0, margin: float = 0.4) -> Any:
    """Circle loss, Keras's own: pairs weigh the more the further they are from where they should be.

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020, equation 6.
    Keras leaves anchors of loss 0, such as those without a positive or a negative, out of the mean.

    Args:
        labels: int, (batch,).
        embeddings: unit vectors, (batch, dim).
        gamma: scale of the cosines.
        margin: m of the paper, a cosine.

    Returns:
        (batch,).
    """
    return keras.losses.circle(labels, embeddings, gamma=gamma, margin=margin)


def supervised_contrastive(labels: Any, embeddings: Any, temperature: float = 0.1) -> Any:
    """Supervised contrastive loss with the mean over positives outside the logarithm (L_out).

    -mean over positives p of log(exp(z_i z_p / T) / sum over all others a of exp(z_i z_a / T)), and 0 for an image
    without a positive in the batch.

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2; T = 0.1 is theirs.

    Args:
        labels: int, (batch,).
        embeddings: unit vectors, (batch, dim).
        temperature: T.

    Returns:
        (batch,).
    """
    positive, negative = _pairs(labels)
    similarity = ops.matmul(embeddings, ops.transpose(embeddings)) / temperature
    others = ops.where(ops.logical_or(positive, negative), similarity, _NEVER)
    log_p = ops.where(positive, similarity - ops.logsumexp(others, axis=1, keepdims=True), 0.0)
    positives = ops.sum(ops.cast(positive, log_p.dtype), axis=1)
    return -ops.sum(log_p, axis=1) / ops.maximum(positives, 1.0)


def batch_hard_triplet(labels: Any, embeddings: Any, margin: float | None = None) -> Any:
    """Triplet loss with the furthest positive and the nearest negative of each anchor in the batch.

    max(0, margin + d_positive - d_negative), or log(1 + exp(d_positive - d_negative)) for the soft margin, with
    Euclidean distances, not squared; 0 for an anchor without a positive or without a negative in the batch.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017,
    equation 5 and, for the soft margin, the end of section 2.

    Args:
        labels: int, (batch,).
        embeddings: unit vectors, (batch, dim); their distances are from 0 to 2, those under 0.001 count as that.
        margin: a distance, or None for the soft margin.

    Returns:
        (batch,).
    """
    positive, negative = _pairs(labels)
    cosines = ops.matmul(embeddings, ops.transpose(embeddings))
    distances = ops.sqrt(ops.maximum(2 - 2 * cosines, _TINY))
    furthest = ops.max(ops.where(positive, distances, _NEVER), axis=1)
    nearest = ops.min(ops.where(negative, distances, -_NEVER), axis=1)
    # Hugely negative, and the loss 0, where the one or the other is missing.
    excess = furthest - nearest
    return ops.softplus(excess) if margin is None else ops.relu(excess + margin)


def _pairs(labels: Any) -> tuple[Any, Any]:
    """Which pairs are of one class (but not one image), and which of two: bool tensors of shape (batch, batch)."""
    same = ops.equal(labels[:, None], labels[None, :])
    image = ops.arange(ops.shape(labels)[0])
    return ops.logical_and(same, ops.not_equal(image[:, None], image[None, :])), ops.logical_not(same)
