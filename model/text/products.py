"""Products of rows and a matrix whose rows do not depend on how many there are."""

from __future__ import annotations

import numpy as np

_ROWS = 8


def times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The product of (n, a) and (a, b), float32; no row of it depends on the others, to the bit."""
    # BLAS sums in another order for another number of rows: all products have the same.
    blocks = -(-len(rows) // _ROWS)
    filled = np.zeros((blocks * _ROWS, rows.shape[1]), np.float32)
    filled[: len(rows)] = rows
    product = filled.reshape(blocks, _ROWS, rows.shape[1]) @ np.ascontiguousarray(matrix)
    return product.reshape(blocks * _ROWS, matrix.shape[1])[: len(rows)]
