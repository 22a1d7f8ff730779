"""The networks: by name, from normalised pixels to a vector of features.

    baseline                    the textbook CNN; untrained
    residual                    a small residual network of our own; untrained
    efficientnet_lite0, 1, 2    with ImageNet weights that come with this package
    ResNet50, mobilenet_v2, ... any of `keras.applications`, with weights from a file or by download
    FILE.keras, FILE.h5         any Keras model, cut at a layer

A backbone is a `keras.Model` from (batch, height, width, 3) float32 to (batch, features), or for GeM pooling to
the feature map (batch, height, width, channels).

Others use `backbone`. May import images and what stands below the rooms of model.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .. import imports
from ..errors import LookalikeError
from ..images.preprocess import parse_spec
from . import applications, baseline, efficientnet_lite, keras_file, residual
from .pooling import POOLINGS

_UNTRAINED = {"baseline": baseline, "residual": residual}


@dataclass(frozen=True)
class Backbone:
    """A network cut at its features.

    Attributes:
        network: the `keras.Model`. For training, see `model.training.loop.parts`.
        preprocessing: the spec of what it takes; for trained weights, what they were trained with.
        pretrained: whether its weights are trained ones.
    """

    network: Any
    preprocessing: str
    pretrained: bool = True


def available() -> list[str]:
    """The names of this package's own networks; `applications.available()` has those of Keras."""
    return sorted([*_UNTRAINED, *efficientnet_lite.VARIANTS])


def backbone(
    name: str,
    pooling: str = "avg",
    *,
    weights: str | None = None,
    layer: str | None = None,
    preprocessing: str | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Backbone:
    """Builds a network up to its features.

    Args:
        name: one of `available()`, a network of `keras.applications`, or a `.keras` or `.h5` file with a whole model.
        pooling: `avg`, `max` or `gem`, for a network whose features are a map.
        weights: a `.weights.h5` file for this network; `none` for random ones; `imagenet` for the published ones,
            which a network of Keras downloads. None is what comes with the network: `imagenet` for
            EfficientNet-Lite, `none` for the untrained ones, and an error for those of Keras.
        layer: of a file's network, the layer whose output is the embedding, or is pooled to it.
        preprocessing: spec for pictures, instead of the network's own; necessary with a file.
        size: height and width of the input, pixels; None is what the spec or the network says.
        seed: decides random weights.

    Raises:
        LookalikeError: for anything that is not one of these, or that cannot be had.
    """
    if pooling not in POOLINGS:
        raise LookalikeError(f"Expected a pooling of {', '.join(POOLINGS)}. Received: pooling={pooling}")
    if preprocessing is not None:
        parsed = parse_spec(preprocessing)
        if size not in (None, parsed.height):
            raise LookalikeError(
                f"Expected a spec for {size} pixels. Received: preprocessing={preprocessing}"
            )
        height, width = parsed.height, parsed.width
    if name.endswith(keras_file.SUFFIXES):
        if preprocessing is None or weights is not None:
            raise LookalikeError(
                f"Expected a preprocessing spec, and no other weights, for the network of a file. Received: "
                f"network={name}, preprocessing={preprocessing}, weights={weights}"
            )
        with _seeded(seed):
            return Backbone(_pooled(keras_file.build(name, layer, height, width), pooling), preprocessing)
    if layer is not None:
        raise LookalikeError(
            f"Expected a layer only for a .keras or .h5 file. Received: network={name}, layer={layer}"
        )
    if preprocessing is not None and height != width:
        raise LookalikeError(f"Expected a spec that ends with square pictures. Received: {preprocessing}")
    size = height if preprocessing is not None else size
    with _seeded(seed):
        built = _build(name, weights, size, pooling)
    return Backbone(built.network, preprocessing or built.preprocessing, built.pretrained)


def _build(name: str, weights: str | None, size: int | None, pooling: str) -> Backbone:
    if name in efficientnet_lite.VARIANTS:
        weights, size = weights or "imagenet", size or efficientnet_lite.VARIANTS[name].size
        whole = efficientnet_lite.build(name, "imagenet" if weights == "imagenet" else None, size=size)
        network, spec = _cut(whole, "head_activation"), efficientnet_lite.spec(size)
    elif name in _UNTRAINED:
        module = _UNTRAINED[name]
        weights, size = weights or "none", size or module.SIZE
        if weights == "imagenet":
            raise LookalikeError(f"There are no published weights for {name}. Received: weights=imagenet")
        network, spec = module.build(size), module.spec(size)
    elif known := applications.find(name):
        if weights is None:
            raise LookalikeError(
                f"Expected weights for {known}: a file, or imagenet to download them, or none for random ones."
            )
        size = size or applications.default_size(known)
        network = applications.build(known, weights, size, pooling)
        return Backbone(network, applications.spec(known, size), weights != "none")
    else:
        raise _unknown(name)
    network = _pooled(network, pooling)
    if weights not in ("imagenet", "none"):
        applications.load_weights(network, weights)
    return Backbone(network, spec, weights != "none")


def _cut(network: Any, layer: str) -> Any:
    keras = imports.keras()

    return keras.Model(network.input, network.get_layer(layer).output, name=network.name)


def _pooled(network: Any, pooling: str) -> Any:
    """Pools a feature map to a vector; a vector is left as it is."""
    keras = imports.keras()

    rank = len(network.output_shape)
    if rank not in (2, 4) or (rank == 2 and pooling != "avg"):
        raise LookalikeError(
            f"Expected features that {pooling} pooling can be done on, (batch, height, width, channels), or with avg "
            f"(batch, features). Received: {network.output_shape} from {network.name}"
        )
    if rank == 2 or pooling == "gem":
        return network
    pool = keras.layers.GlobalAveragePooling2D if pooling == "avg" else keras.layers.GlobalMaxPooling2D
    taken = {layer.name for layer in network.layers}
    label = "features" if "features" not in taken else "pooled_features"
    return keras.Model(network.input, pool(name=label)(network.output), name=network.name)


def _unknown(name: str) -> LookalikeError:
    known = {known.lower(): known for known in [*available(), *applications.available()]}
    near = [known[plain] for plain in difflib.get_close_matches(name.lower(), known, n=1)]
    guess = f"; did you mean {near[0]}?" if near else ""
    return LookalikeError(
        f"Expected a network of {', '.join(available())}, one of keras.applications, a .keras or .h5 file or, to build "
        f"an encoder, a folder of `lookalike train`. Received: network={name}{guess}"
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Makes the weights that Keras draws in this context the same every time; Keras seeds itself from `random`."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
