"""A network by its parts: what is thawed and trained one after the other, and what stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

# A stage halves the map. Convolutions without padding only trim it, from 149 to 147 pixels for example.
_NEW_STAGE = 1.5


@dataclass(frozen=True)
class Part:
    """Layers that are trained together.

    Attributes:
        name: `stem`, then `stage1`, `stage2` and so on, then `head` if the network ends in dense layers.
        layers: those that have weights, in the order of the network.
    """

    name: str
    layers: tuple[Any, ...]

    @property
    def variables(self) -> list[Any]:
        """What of it is trained now: weights of layers whose `trainable` is true, without statistics."""
        return [variable for layer in self.layers for variable in layer.trainable_variables]


def parts(network: Any) -> list[Part]:
    """Divides a network from stem to head: a new stage begins where the feature map gets smaller by half.

    Args:
        network: the `keras.Model` of a `Backbone`.

    Returns:
        Parts that hold every layer with weights exactly once.
    """
    layers = [layer for layer in network.layers if layer.weights]
    vectors = 0
    while vectors < len(layers) and len(_shape(layers[-1 - vectors])) == 2:
        vectors += 1
    body, head = layers[: len(layers) - vectors], layers[len(layers) - vectors :]
    stages: list[list[Any]] = []
    side = 0
    for layer in body:
        shape = _shape(layer)
        # Squeeze-and-excitation works on maps of one pixel beside the way from stem to head.
        here = min(shape[1:3]) if len(shape) == 4 and max(shape[1:3]) > 1 else side
        if not stages or side >= _NEW_STAGE * here:
            stages.append([])
            side = here
        stages[-1].append(layer)
    names = ["stem", *(f"stage{number}" for number in range(1, len(stages)))][: len(stages)]
    named = [Part(name, tuple(stage)) for name, stage in zip(names, stages, strict=True)]
    return [*named, Part("head", tuple(head))] if head else named


@keras.saving.register_keras_serializable(package="lookalike")
class FrozenStatistics(keras.layers.Wrapper):
    """A batch normalisation that keeps to the statistics it has, also in training; gamma and beta are trained.

    Keras's own ways fix too much: `trainable = False` gamma and beta as well, and a network called with
    `training=False` drops nothing out either.
    """

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer(inputs, training=False, mask=mask)


def frozen_statistics(network: Any) -> Any:
    """The same network with the same layers, but the statistics of its batch normalisations stay as they are.

    Train what this returns, and export `network`: their weights are the same variables.

    Args:
        network: the `keras.Model` of a `Backbone`.

    Returns:
        A `keras.Model` of the same inputs and outputs.
    """

    def frozen(layer: Any) -> Any:
        if isinstance(layer, keras.layers.BatchNormalization):
            return FrozenStatistics(layer, name=layer.name)
        return layer

    return keras.models.clone_model(network, clone_function=frozen)


def _shape(layer: Any) -> tuple[Any, ...]:
    return tuple(getattr(layer.output, "shape", ()))
