"""The networks of `keras.applications`, by name, with weights from a file or by download.

Each family was trained on pixels scaled in its own way, and a network given another family's still answers, only
worse. Here the scaling is part of the preprocessing spec.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import imports
from ..errors import LookalikeError

# By module of `keras.applications`, what its `preprocess_input` does to RGB 0..255. `inside`: nothing, the network's
# first layers do it. Caffe's networks want BGR as well: see `_to_rgb`.
FAMILIES = {
    "convnext": "inside",
    "densenet": "torch",
    "efficientnet": "inside",
    "efficientnet_v2": "inside",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "inside",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}
_NORMALIZE = {
    "inside": "",
    "tf": "|normalize(127.5,127.5)",
    "torch": "|normalize((123.675,116.28,103.53),(58.395,57.12,57.375))",
    "caffe": "|normalize((123.68,116.779,103.939),1)",
}
# Height and width that the published weights were trained with, where that is not 224.
_SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
_IMAGENET_STD = (0.229, 0.224, 0.225)


def available() -> list[str]:
    """The names of the networks, as `keras.applications` spells them."""
    keras = imports.keras()

    return sorted(
        name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value)
    )


def find(name: str) -> str | None:
    """The network of that name; case and underscores do not count, so `mobilenet_v2` is `MobileNetV2`."""
    plain = name.lower().replace("_", "")
    return next((known for known in available() if known.lower() == plain), None)


def default_size(name: str) -> int:
    """Height and width of the input that the published weights were trained with, pixels."""
    return _SIZES.get(name, 224)


def spec(name: str, size: int) -> str:
    """The preprocessing spec: the middle 7/8 of the shorter side, values as the family wants them."""
    normalize = _NORMALIZE[FAMILIES[_family(name)]]
    return f"decode|resize_short({round(size / 0.875)})|center_crop({size}){normalize}"


def build(name: str, weights: str, size: int, pooling: str) -> Any:
    """Builds a network up to its features.

    Args:
        name: as in `available()`.
        weights: `imagenet` to have Keras download them, or find them where it put them before; `none`; or a
            file of the network without its top, as Keras publishes them (`..._notop.h5`) or saves them
            (`.weights.h5`).
        size: height and width of the input, pixels.
        pooling: `avg` or `max`; with `gem` the result is the feature map.

    Returns:
        A `keras.Model`, (batch, size, size, 3) float32, RGB -> (batch, features) float32.

    Raises:
        LookalikeError: if the size is too small, or there are no such weights.
    """
    keras = imports.keras()

    options = {
        "include_top": False,
        "input_shape": (size, size, 3),
        "pooling": None if pooling == "gem" else pooling,
    }
    make: Callable[..., Any] = getattr(keras.applications, name)
    try:
        network = make(weights="imagenet" if weights == "imagenet" else None, **options)
    except ValueError as error:
        raise LookalikeError(
            f"keras.applications.{name} cannot be built for {size} pixels: {error}"
        ) from None
    except Exception as error:
        if weights != "imagenet":
            raise
        # What a download raises is not documented, and has been OSError and bare Exception.
        raise LookalikeError(
            f"The weights of {name} could not be downloaded: {error}. Give a file of them instead, from "
            "https://keras.io/api/applications"
        ) from None
    if weights not in ("imagenet", "none"):
        load_weights(network, weights)
        _mend_deviation(network)
    if weights != "none" and FAMILIES[_family(name)] == "caffe":
        _to_rgb(network)
    return network


def load_weights(network: Any, path: str) -> None:
    """Loads a `.weights.h5` or `.h5` file into a network.

    Raises:
        LookalikeError: if there is no such file, or it is not this network's.
    """
    if not Path(path).is_file():
        raise LookalikeError(f"Expected a file with weights for {network.name}. Received: no file {path}")
    if not path.endswith((".h5", ".hdf5")):
        raise LookalikeError(f"Expected a file of weights that ends in .weights.h5 or .h5. Received: {path}")
    try:
        network.load_weights(path)
    except Exception as error:  # KeyError, ValueError, OSError and others, by what is wrong with the file
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise LookalikeError(
            f"Expected the weights of {network.name} without its top in {path}. Received others: {reason}"
        ) from None


def _family(name: str) -> str:
    keras = imports.keras()

    return str(getattr(keras.applications, name).__module__.rpartition(".")[2])


def _to_rgb(network: Any) -> None:
    """Makes a network that was trained on BGR take RGB, by turning its first kernel's channels round."""
    first = next(layer for layer in network.layers if layer.weights)
    kernel, *bias = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *bias])


def _mend_deviation(network: Any) -> None:
    """Makes the published EfficientNet B0 to B7 right when they are loaded from a file.

    Their files hold the deviation where Keras's Normalization expects the variance. Keras adds a layer that makes up
    for it if it downloads the weights itself, and not if it is given the file.
    """
    keras = imports.keras()

    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, *count = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STD, atol=1e-3):
                layer.set_weights([mean, variance**2, *count])
            # It computes with copies, and only some of Keras's ways to load weights renew them.
            layer.finalize_state()
