"""Images in batches: what training reads, decoded ahead of it, as pixels or as features of a frozen network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ..images.preprocess import Preprocess
from .parts import frozen_statistics

_AHEAD = 2


class Images(Protocol):
    """Labelled images in a fixed order."""

    @property
    def ids(self) -> Sequence[str]:
        """For messages."""

    @property
    def labels(self) -> np.ndarray:
        """Int (n,): classes of training from 0, further ones behind them."""

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """The images at these positions after the geometry of the preprocessing: uint8 (b, height, width, 3)."""


@dataclass(frozen=True)
class Features:
    """Images that stand for themselves as the features of a frozen backbone.

    Attributes:
        ids, labels: as of `Images`.
        values: float32 (n, features).
    """

    ids: Sequence[str]
    labels: np.ndarray
    values: np.ndarray

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """Their features, (b, features)."""
        return np.asarray(self.values[indices])


def features_of(network: Any, images: Images, preprocess: Preprocess, batch: int = 32) -> np.ndarray:
    """What a network makes of images, in order: float32 (n, features)."""
    normalise, folded = normalisation(preprocess), frozen_statistics(network)
    run = tf.function(
        lambda pixels: folded(normalise(pixels), training=False), autograph=False, reduce_retracing=True
    )
    batches = [np.arange(i, min(i + batch, len(images.labels))) for i in range(0, len(images.labels), batch)]
    return np.concatenate([run(tf.constant(pixels)).numpy() for _, pixels in ahead(images, batches)])


def normalisation(preprocess: Preprocess | None) -> Any:
    """The last step of the preprocessing, in the graph: pixels, or features, to what the network takes, float32."""
    if preprocess is None:
        return lambda features: tf.cast(features, tf.float32)
    mean, std = tf.constant(preprocess.mean), tf.constant(preprocess.std)
    return lambda pixels: (tf.cast(pixels, tf.float32) - mean) / std


def ahead(
    images: Images, batches: Sequence[np.ndarray] | np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches with their pixels, two of which are read while one is in use."""
    waiting: list[tuple[np.ndarray, Future[np.ndarray]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        try:
            for indices in batches:
                waiting.append((indices, pool.submit(images.pixels, indices)))
                if len(waiting) > _AHEAD:
                    first, pixels = waiting.pop(0)
                    yield first, pixels.result()
            for indices, pixels in waiting:
                yield indices, pixels.result()
        finally:
            for _, pixels in waiting:
                pixels.cancel()
