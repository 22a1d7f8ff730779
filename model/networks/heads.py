"""Heads for training: what stands between a network's features and a loss. A Dense head needs nothing of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ..errors import LookalikeError

_TINY = 1e-12


def unit_length(vectors: Any, axis: int = -1) -> Any:
    """Scales vectors along `axis` to Euclidean length 1; those shorter than 1e-6 become zeros, with gradient 0.

    `keras.layers.UnitNormalization` gives zeros a gradient of 1e12, or NaN under XLA: one image whose features
    are all dead would end a training.
    """
    squares = ops.sum(ops.square(vectors), axis, keepdims=True)
    return vectors * ops.where(squares > _TINY, ops.rsqrt(ops.maximum(squares, _TINY)), 0.0)


@keras.saving.register_keras_serializable(package="lookalike")
class UnitLength(keras.layers.Layer):
    """Embeddings for the losses on embeddings: (batch, dim) to (batch, dim) of Euclidean length 1.

    Computes in float32 also in a mixed-precision network, like `CosineHead`.
    """

    def __init__(self, dtype: Any = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)

    def call(self, inputs: Any) -> Any:
        return unit_length(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@keras.saving.register_keras_serializable(package="lookalike")
class CosineHead(keras.layers.Layer):
    """Cosines between embeddings and one learned vector for each class: (batch, dim) to (batch, classes).

    Both sides are scaled to length 1 here, so that the input may have any length. The cosines are float32 also
    in a mixed-precision network: times a scale of 64, the steps of float16 near 1 would be 0.03 of a logit.

    Source: Wang et al., "NormFace: L2 Hypersphere Embedding for Face Verification", ACM Multimedia 2017.

    Args:
        classes: how many, at least 1.

    Attributes:
        kernel: the class vectors (proxies), weight of shape (dim, classes), of any length.

    Raises:
        LookalikeError: for `classes` below 1.
    """

    def __init__(self, classes: int, dtype: Any = "float32", **kwargs: Any) -> None:
        if classes < 1:
            raise LookalikeError(f"Expected a head of at least 1 class. Received: classes={classes}")
        super().__init__(dtype=dtype, **kwargs)
        self.classes = classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # Of length about 1 whatever `dim` is: the gradient on a direction goes with 1 / length.
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.classes), initializer="lecun_normal"
        )

    def call(self, inputs: Any) -> Any:
        return ops.matmul(unit_length(inputs), unit_length(self.kernel, axis=0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}
