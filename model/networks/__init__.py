"""The networks: by name, from normalised pixels to a vector of features.

A backbone is a `keras.Model` from (batch, height, width, 3) float32 to (batch, features), or for GeM pooling to
the feature map (batch, height, width, channels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.errors import LookalikeError
from model.networks import efficientnet_lite
from model.pooling import POOLINGS


@dataclass(frozen=True)
class Backbone:
    """A network cut at its features.

    Attributes:
        network: the `keras.Model`.
        preprocessing: the spec its weights were trained with.
    """

    network: Any
    preprocessing: str


def available() -> list[str]:
    """The names that `backbone` takes."""
    return sorted(efficientnet_lite.VARIANTS)


def backbone(name: str, pooling: str = "avg") -> Backbone:
    """Builds a pretrained network up to its features.

    Args:
        name: one of `available()`.
        pooling: `avg`, `max` or `gem`.

    Raises:
        LookalikeError: for another name or pooling.
    """
    import keras

    if name not in efficientnet_lite.VARIANTS:
        raise LookalikeError(f"Expected a network of {', '.join(available())}. Received: network={name}")
    if pooling not in POOLINGS:
        raise LookalikeError(f"Expected a pooling of {', '.join(POOLINGS)}. Received: pooling={pooling}")
    network = efficientnet_lite.build(name)
    x = network.get_layer("head_activation").output
    if pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="features")(x)
    size = efficientnet_lite.VARIANTS[name].size
    # The published recipe: the short side to size + 32, the centre of it, (x - 127) / 128.
    spec = f"decode|resize_short({size + 32})|center_crop({size})|normalize(127,128)"
    return Backbone(keras.Model(network.input, x, name=name), spec)
