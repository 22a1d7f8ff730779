"""The textbook CNN: three convolutions with pooling, then a dense layer, which is the embedding.

The recipe of countless tutorials, after F. Chollet, "Deep Learning with Python", 1st edition, 2017, section 5.2, which
has one convolution more. It is here to be compared with: whatever a better network gains, it gains over this one.
"""

from __future__ import annotations

from typing import Any

from .. import imports
from ..errors import LookalikeError

SIZE = 128
"""Height and width of the input, pixels. Nearly all weights are in the dense layer, and their number grows with the
square of this: 12.9 million in all at 128, 19.0 million at 150, 44 million at 224."""
LEAST = 22
"""Where one pixel is left of the map."""
DIM = 512


def build(size: int = SIZE) -> Any:
    """Builds the network, with weights that are random.

    Args:
        size: height and width of the input, pixels; at least `LEAST`.

    Returns:
        A `keras.Model`, (batch, size, size, 3) float32 -> (batch, 512) float32, not negative. Training puts
        softmax over the classes on it.

    Raises:
        LookalikeError: if the size is too small.
    """
    keras = imports.keras()
    layers = keras.layers

    if size < LEAST:
        raise LookalikeError(
            f"Expected pictures of {LEAST} pixels or more for the baseline. Received: {size}"
        )
    x = image = keras.Input((size, size, 3), name="image")
    for number, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(DIM, activation="relu", name="features")(x), name="baseline")


def spec(size: int = SIZE) -> str:
    """The recipe's preprocessing: the whole picture to a square, values to 0..1."""
    return f"decode|resize({size},{size})|normalize(0,255)"
