"""Pictures to vectors in one call, which no job has use for: they stream."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lookalike.model.encoder.bundle import BATCH, Encoder


def encode(encoder: Encoder, images: Iterable[bytes]) -> tuple[np.ndarray, dict[int, str]]:
    """Vectors, float32 (n, dim), NaN in the row of an image that could not be read; its position -> reason."""
    images = list(images)
    batches = list(encoder.map(images[i : i + BATCH] for i in range(0, len(images), BATCH)))
    vectors = [batch.vectors for batch in batches] or [np.empty((0, encoder.dim), np.float32)]
    errors = {
        BATCH * number + position: reason
        for number, batch in enumerate(batches)
        for position, reason in batch.errors.items()
    }
    return np.concatenate(vectors), errors
