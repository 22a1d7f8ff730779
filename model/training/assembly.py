"""A network made ready to be trained: backbone, embedding, head of the loss, and a copy for averaged weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..errors import LookalikeError
from ..networks import Backbone
from ..networks.copies import copied
from ..networks.heads import CosineHead, UnitLength
from .losses import build_loss
from .parts import Part, frozen_statistics, parts
from .recipe import Recipe
from .sampling import class_prior

EMBEDDING = "embedding"


@dataclass(frozen=True)
class Assembly:
    """What is trained, and what comes of it.

    Attributes:
        network: inputs to embeddings; owns the weights that are trained.
        body: the same with batch normalisation as it is to be in training.
        average: a copy in float32 for averaged weights: what is validated, and in the end the result.
        head: embeddings to what the loss takes.
        loss: of labels and what the head gives.
        parts: of `network`, from stem to head.
    """

    network: Any
    body: Any
    average: Any
    head: Any
    loss: Any
    parts: list[Part]


def embedder(backbone: Backbone, dim: int | None) -> Any:
    """The backbone with the embedding layer, Dense without activation, on it; itself for `dim` None."""
    if dim is None:
        return backbone.network
    if any(layer.name == EMBEDDING for layer in backbone.network.layers):
        raise LookalikeError(
            f"Expected no layer named {EMBEDDING} in the network that is to get one: set network.dim to null, or "
            "network.layer to the layer before it"
        )
    features = backbone.network.output
    return keras.Model(
        backbone.network.input,
        keras.layers.Dense(dim, name=EMBEDDING)(features),
        name=backbone.network.name,
    )


def on_features(whole: Any) -> Any:
    """The embedding layer of a network by itself, as a network from features; shares no weights with it."""
    dense = whole.get_layer(EMBEDDING)
    features = keras.Input(dense.input.shape[1:], name="features")
    alone = keras.Model(features, keras.layers.Dense(dense.units, name=EMBEDDING)(features))
    alone.set_weights(dense.get_weights())
    return alone


def assemble(network: Any, recipe: Recipe, counts: np.ndarray, frozen: bool, policy: str) -> Assembly:
    """Makes a network ready.

    Args:
        network: a `keras.Model` from normalised pixels, or features, to embeddings, in float32. Its weights are
            where training begins; it becomes the `average`.
        recipe: the recipe.
        counts: images of each class in training, (classes,).
        frozen: whether batch normalisation keeps its statistics.
        policy: of Keras, for what is trained: `float32` or `mixed_bfloat16`.

    Raises:
        LookalikeError: for options the loss does not have, or if there are fewer than two classes.
    """
    classes = len(counts)
    if classes < 2:
        raise LookalikeError(f"Expected two classes or more to tell apart. Received: {classes}")
    options = dict(recipe.loss.options)
    if recipe.imbalance.logit_adjustment:
        prior = class_prior(counts, recipe.imbalance.sampling)
        options |= {"log_prior": np.log(prior), "tau": recipe.imbalance.logit_adjustment}
    loss = build_loss(recipe.loss.name, **options)
    head = {
        "dense": lambda: keras.layers.Dense(classes, name="logits", dtype="float32"),
        "cosine": lambda: CosineHead(classes, name="classes"),
        None: lambda: UnitLength(name="unit_length"),
    }[loss.head]()
    head.build((None, network.output_shape[-1]))
    trained = copied(network, dtype=policy)
    body = frozen_statistics(trained) if frozen else trained
    return Assembly(trained, body, network, head, loss, parts(trained))


def policy_of(precision: str) -> str:
    """Keras's policy for a precision of the recipe.

    On a processor with AVX512-BF16 but without AMX, a step of EfficientNet-Lite0 with 32 images took 2.8 s in
    bfloat16 and 1.2 s in float32: TensorFlow's depthwise convolutions know no bfloat16 there.
    """
    if precision == "auto":
        try:
            precision = "bfloat16" if "amx_bf16" in Path("/proc/cpuinfo").read_text() else "float32"
        except OSError:
            precision = "float32"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"
