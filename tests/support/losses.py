"""Labels and predictions for losses, and the losses of each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.model.training.losses import build_loss
from lookalike.model.training.sampling import class_prior

BATCH, CLASSES, DIM = 12, 5, 8
RNG = np.random.default_rng(0)
# Class 4 has no image in the batch, class 3 only one.
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
SOFT = RNG.dirichlet(np.ones(CLASSES), BATCH)
PRIOR = np.log(class_prior(np.array([50, 30, 15, 4, 1])))
# Features near one another within a class.
IMAGES = np.eye(CLASSES, DIM)[LABELS] + 0.3 * RNG.normal(size=(BATCH, DIM))


def unit(x: np.ndarray) -> np.ndarray:
    """Rows (n, dim) scaled to length 1."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


PREDICTIONS = {
    "dense": 3 * RNG.normal(size=(BATCH, CLASSES)),
    "cosine": RNG.uniform(-1, 1, size=(BATCH, CLASSES)),
    None: unit(RNG.normal(size=(BATCH, DIM)) + 0.5),
}


def losses_of(name: str, labels: np.ndarray, predictions: np.ndarray, **options: Any) -> np.ndarray:
    """The loss `name` of each row: float32 (batch,)."""
    return build_loss(name, reduction="none", **options)(labels, predictions.astype(np.float32)).numpy()
