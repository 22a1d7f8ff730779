"""The losses to train with, by name: cross-entropy and its kin on logits or cosines, and losses on embeddings.

Each is a `keras.losses.Loss`, which can be saved, round a pure function of `loss_functions`, where its formula, options
and source are told. What it is fed, its `LossKind` says. Labels are whole numbers from 0, of shape (batch,) or
(batch, 1), or soft ones where it takes them.

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

from ..errors import LookalikeError
from . import loss_functions
from .loss_kinds import LOSS_KINDS

# What an option may be, both ends included. No two unit vectors are more than 2 apart, nor are two cosines.
_RANGES = {
    "gamma": (0.0, math.inf),
    "label_smoothing": (0.0, 1.0),
    "margin": (0.0, 2.0),
    "scale": (1e-6, math.inf),
    "tau": (0.0, math.inf),
    "temperature": (1e-6, math.inf),
}
_CLASSES = ("log_prior", "tau")
"""Options that the recipe sets: `imbalance.logit_adjustment`."""


class _Loss(keras.losses.Loss):
    """A function of `loss_functions` as a Keras loss.

    Args:
        name: what Keras calls it; the function's name by default.
        reduction: Keras's; the mean over the batch by default.
        options: those of the function.

    Attributes:
        function: the function.
        head, soft_labels: see `LossKind`.
        options: the function's options, with their defaults.

    Raises:
        LookalikeError: for an option the function does not have, or a value out of its range.
    """

    function: ClassVar[Callable[..., Any]]
    head: ClassVar[str | None]
    soft_labels: ClassVar[bool]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        kind = LOSS_KINDS[cls.function.__name__]
        cls.head, cls.soft_labels = kind.head, kind.soft_labels

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", **options: Any
    ) -> None:
        loss = self.function.__name__
        super().__init__(name=name or loss, reduction=reduction, dtype="float32")
        _, _, *parameters = inspect.signature(self.function).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in parameters}
        for option, value in options.items():
            if option not in defaults:
                known = ", ".join(name for name in defaults if name not in _CLASSES)
                raise LookalikeError(
                    f"Expected options of {loss} among {known}. Received: {option}={value!r}"
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

    function = staticmethod(loss_functions.cross_entropy)


@_register
class Focal(_Loss):
    """`focal` loss of a Dense head; options `gamma`, `log_prior`, `tau`."""

    function = staticmethod(loss_functions.focal)


@_register
class NormSoftmax(_Loss):
    """`norm_softmax`; options `scale`, `label_smoothing`, `log_prior`, `tau`."""

    function = staticmethod(loss_functions.norm_softmax)


@_register
class CosFace(_Loss):
    """`cosface`; options `scale`, `margin`, `log_prior`, `tau`."""

    function = staticmethod(loss_functions.cosface)


@_register
class ArcFace(_Loss):
    """`arcface`; options `scale`, `margin`, `easy_margin`, `log_prior`, `tau`."""

    function = staticmethod(loss_functions.arcface)


@_register
class ProxyAnchor(_Loss):
    """`proxy_anchor`; options `scale`, `margin`."""

    function = staticmethod(loss_functions.proxy_anchor)


@_register
class Circle(_Loss):
    """`circle`; options `gamma`, `margin`."""

    function = staticmethod(loss_functions.circle)


@_register
class SupervisedContrastive(_Loss):
    """`supervised_contrastive`; option `temperature`."""

    function = staticmethod(loss_functions.supervised_contrastive)


@_register
class BatchHardTriplet(_Loss):
    """`batch_hard_triplet`; option `margin`."""

    function = staticmethod(loss_functions.batch_hard_triplet)


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


def build_loss(name: str, **options: Any) -> _Loss:
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
