"""A small residual network of our own, to be trained from nothing and compared with the baseline.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1: ResNet-18 at three quarters of its
width, with what He T. et al., "Bag of Tricks for Image Classification with CNNs", CVPR 2019, section 4, call
ResNet-D (three 3x3 convolutions for the stem; average pooling in the shortcuts), and the last scale of each block
starting at zero (section 3.1), so that every block starts as the identity.
"""

from __future__ import annotations

from typing import Any

from .. import imports

SIZE = 128
"""Height and width of the input, pixels; that of the baseline, so that networks are compared and not inputs."""
WIDTHS = (48, 96, 192, 384)
"""Channels of each stage. On 2 cores a training step takes 65 images/s, a pass over 3,000 images most of a minute;
at the published 64, 128, 256, 512 it takes 35."""
BLOCKS = 2


def build(size: int = SIZE) -> Any:
    """Builds the network, with weights that are random.

    Args:
        size: height and width of the input, pixels.

    Returns:
        A `keras.Model`, (batch, size, size, 3) float32 -> the map (batch, size / 32, size / 32, 384) float32, not
        negative.
    """
    keras = imports.keras()
    layers = keras.layers

    def conv(x: Any, filters: int, kernel: int, stride: int, label: str) -> Any:
        return layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{label}_conv",
        )(x)

    def norm(x: Any, label: str, scale: str = "ones") -> Any:
        # Keras's momentum of 0.99 forgets the initial statistics only after hundreds of steps: epochs of a small set.
        return layers.BatchNormalization(momentum=0.9, gamma_initializer=scale, name=f"{label}_bn")(x)

    def conv_norm_relu(x: Any, filters: int, stride: int, label: str) -> Any:
        x = norm(conv(x, filters, 3, stride, label), label)
        return layers.ReLU(name=f"{label}_relu")(x)

    def block(before: Any, filters: int, stride: int, label: str) -> Any:
        x = conv_norm_relu(before, filters, stride, f"{label}_1")
        x = norm(conv(x, filters, 3, 1, f"{label}_2"), f"{label}_2", scale="zeros")
        if stride > 1:
            before = layers.AveragePooling2D(2, padding="same", name=f"{label}_shortcut_pool")(before)
        if before.shape[-1] != filters:
            before = norm(conv(before, filters, 1, 1, f"{label}_shortcut"), f"{label}_shortcut")
        return layers.ReLU(name=f"{label}_relu")(layers.Add(name=f"{label}_add")([x, before]))

    x = image = keras.Input((size, size, 3), name="image")
    for number, (filters, stride) in enumerate(((WIDTHS[0] // 2, 2), (WIDTHS[0] // 2, 1), (WIDTHS[0], 1)), 1):
        x = conv_norm_relu(x, filters, stride, f"stem_{number}")
    x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, filters in enumerate(WIDTHS, start=1):
        for number in range(1, BLOCKS + 1):
            x = block(x, filters, 2 if stage > 1 and number == 1 else 1, f"stage{stage}_block{number}")
    return keras.Model(image, x, name="residual")


def spec(size: int = SIZE) -> str:
    """The geometry of the baseline; values to -1..1."""
    return f"decode|resize({size},{size})|normalize(127.5,127.5)"
