"""Inputs for networks."""

from __future__ import annotations

from typing import Any

import numpy as np


def inputs(network: Any, count: int = 3) -> np.ndarray:
    """What `network` takes: float32 (count, ...), the same every time."""
    return np.random.default_rng(0).uniform(-1, 1, (count, *network.input_shape[1:])).astype(np.float32)
