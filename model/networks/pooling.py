"""Pooling of a feature map to one vector.

Average and maximum are part of the exported network. Generalised mean is not: its powers do not survive eight
bits, so such a network gives its feature map and `gem` is applied to that in float32.
"""

from __future__ import annotations

import numpy as np

POOLINGS = ("avg", "max", "gem")
GEM_POWER = 3.0
"""Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019, section 3.2."""


def gem(feature_map: np.ndarray, power: float = GEM_POWER, epsilon: float = 1e-6) -> np.ndarray:
    """Generalised-mean pooling, equation 4 of Radenovic et al.: (mean of x^p)^(1/p).

    Args:
        feature_map: array of shape (n, height, width, channels), non-negative.
        power: 1 is the average; towards infinity it becomes the maximum.
        epsilon: values below it count as it, so that no gradient or root is undefined.

    Returns:
        Array of shape (n, channels), float32.

    >>> float(gem(np.array([[[[1.0], [3.0]]]]), power=1.0)[0, 0])
    2.0
    """
    x = np.maximum(feature_map.astype(np.float32), epsilon)
    return np.power(np.power(x, power).mean(axis=(1, 2)), 1.0 / power)
