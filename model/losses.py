"""The losses to train with, by name: cross-entropy and its kin on logits or cosines, and losses on embeddings.

Each is a pure function, where its formula, options and source are told, and a `keras.losses.Loss` of the same
name round it, which can be saved. A loss class says what it must be fed:

- `head = "dense"`: logits (batch, classes) of a Dense layer without activation;
- `head = "cosine"`: cosines (batch, classes) of `heads.CosineHead`;
- `head = None`: embeddings (batch, dim) of `heads.UnitLength`, in batches of `sampling.pk_batches`.

Labels are whole numbers from 0, of shape (batch,) or (batch, 1). A loss with `soft_labels` also takes
probabilities (batch, classes), which MixUp and CutMix make; to the others half a label means nothing.

Losses are computed in float32 whatever the network's precision. Weights of classes are not their business: they
go to Keras as sample weights (`sampling.effective_number_weights`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from model.errors import LookalikeError

_NEVER = -1e9
"""Minus infinity where a pair does not count, yet finite: no difference of two is NaN."""
_TINY = 1e-6
"""Least square of a sine or a distance: the gradient of the square root is infinite at 0."""

# What an option may be, both ends included. No two unit vectors are more than 2 apart, nor are two cosines.
_RANGES = {
    "gamma": (0.0, math.inf),
    "label_smoothing": (0.0, 1.0),
    "margin": (0.0, 2.0),
    "scale": (1e-6, math.inf),
    "tau": (0.0, math.inf),
    "temperature": (1e-6, math.inf),
}


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


class _Loss(keras.losses.Loss):
    """A function of this module as a Keras loss.

    Args:
        name: what Keras calls it; the function's name by default.
        reduction: Keras's; the mean over the batch by default.
        options: those of the function.

    Attributes:
        function: the function.
        head: what makes its predictions: `dense`, `cosine`, or None for embeddings.
        soft_labels: whether labels may be probabilities.
        options: the function's options, with their defaults.

    Raises:
        LookalikeError: for an option the function does not have, or a value out of its range.
    """

    function: ClassVar[Callable[..., Any]]
    head: ClassVar[str | None]
    soft_labels: ClassVar[bool] = False

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", **options: Any
    ) -> None:
        loss = self.function.__name__
        super().__init__(name=name or loss, reduction=reduction, dtype="float32")
        _, _, *parameters = inspect.signature(self.function).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in parameters}
        for option, value in options.items():
            if option not in defaults:
                raise LookalikeError(
                    f"Expected options of {loss} among {', '.join(defaults)}. Received: {option}={value!r}"
                )
            _check(loss, option, value, defaults[option])
        self.options = {**defaults, **options}
        if self.options.get("log_prior") is not None:
            # A NumPy array cannot be saved.
            self.options["log_prior"] = tuple(float(share) for share in options["log_prior"])

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return type(self).function(self._targets(y_true, y_pred), y_pred, **self.options)

    def _targets(self, y_true: Any, y_pred: Any) -> Any:
        """Labels as the function takes them: one-hot for a head with classes, int (batch,) for embeddings."""
        shape = tuple(y_true.shape)
        if len(y_pred.shape) == 2 and (len(shape) == 1 or shape[1:] == (1,)):
            labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            return labels if self.head is None else ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        if self.soft_labels and len(shape) == 2 and shape[-1] == y_pred.shape[-1]:
            return y_true
        kinds = "(batch,) or (batch, classes)" if self.soft_labels else "(batch,)"
        raise LookalikeError(
            f"Expected labels {kinds} and predictions of rank 2 for {self.function.__name__}. "
            f"Received: labels of shape {shape}, predictions of shape {tuple(y_pred.shape)}"
        )

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction, **self.options}


def _check(loss: str, option: str, value: Any, default: Any) -> None:
    if option == "log_prior":
        expected = "finite numbers, one for each class, or None"
        fine = value is None or _finite(value)
    elif isinstance(default, bool):
        expected, fine = "true or false", isinstance(value, bool)
    else:
        low, high = _RANGES[option]
        expected = f"from {low:g} to {high:g}" + (" or None" if default is None else "")
        number = type(value) in (int, float) and math.isfinite(value)
        fine = low <= value <= high if number else value is default is None
    if not fine:
        raise LookalikeError(f"Expected {option} of {loss} to be {expected}. Received: {option}={value!r}")


def _finite(values: Any) -> bool:
    try:
        return all(math.isfinite(value) for value in values)
    except TypeError:
        return False


_register = keras.saving.register_keras_serializable(package="lookalike")


@_register
class CrossEntropy(_Loss):
    """`cross_entropy` of a Dense head; options `label_smoothing`, `log_prior`, `tau`."""

    function, head, soft_labels = staticmethod(cross_entropy), "dense", True


@_register
class Focal(_Loss):
    """`focal` loss of a Dense head; options `gamma`, `log_prior`, `tau`."""

    function, head, soft_labels = staticmethod(focal), "dense", True


@_register
class NormSoftmax(_Loss):
    """`norm_softmax`; options `scale`, `label_smoothing`, `log_prior`, `tau`."""

    function, head, soft_labels = staticmethod(norm_softmax), "cosine", True


@_register
class CosFace(_Loss):
    """`cosface`; options `scale`, `margin`, `log_prior`, `tau`."""

    function, head = staticmethod(cosface), "cosine"


@_register
class ArcFace(_Loss):
    """`arcface`; options `scale`, `margin`, `easy_margin`, `log_prior`, `tau`."""

    function, head = staticmethod(arcface), "cosine"


@_register
class ProxyAnchor(_Loss):
    """`proxy_anchor`; options `scale`, `margin`."""

    function, head = staticmethod(proxy_anchor), "cosine"


@_register
class Circle(_Loss):
    """`circle`; options `gamma`, `margin`."""

    function, head = staticmethod(circle), None


@_register
class SupervisedContrastive(_Loss):
    """`supervised_contrastive`; option `temperature`."""

    function, head = staticmethod(supervised_contrastive), None


@_register
class BatchHardTriplet(_Loss):
    """`batch_hard_triplet`; option `margin`."""

    function, head = staticmethod(batch_hard_triplet), None


LOSSES: dict[str, type[_Loss]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "norm_softmax": NormSoftmax,
    "cosface": CosFace,
    "arcface": ArcFace,
    "proxy_anchor": ProxyAnchor,
    "circle": Circle,
    "supervised_contrastive": SupervisedContrastive,
    "batch_hard_triplet": BatchHardTriplet,
}

DEFAULT_LOSS = "norm_softmax"


def build_loss(name: str = DEFAULT_LOSS, **options: Any) -> _Loss:
    """The loss of that name.

    Args:
        name: one of `LOSSES`.
        options: those of its function.

    Raises:
        LookalikeError: for another name, an option the loss does not have, or a value out of its range.

    >>> build_loss("circle", gamma=64.0).options
    {'gamma': 64.0, 'margin': 0.4}
    """
    if name not in LOSSES:
        raise LookalikeError(f"Expected a loss of {', '.join(LOSSES)}. Received: loss={name}")
    return LOSSES[name](**options)
