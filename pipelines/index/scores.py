"""What a score is: which vectors may be scored, and one formula that gives equal vectors equal scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import Metric

_UNIT = 1e-6
"""A row whose length differs from 1 by no more is unit length already and stays as it is, to the bit."""
_GATHERED = 64 * 10 * 256
"""Numbers gathered at once, to stay in a core's cache: 1.6 us a query for 11 rows of 256; 7 to 9 us ungrouped."""


def checked(
    vectors: np.ndarray, metric: Metric, *, dim: int | None = None, what: str = "vector"
) -> np.ndarray:
    """Vectors that can be scored: finite, and of unit length for cosine.

    Args:
        vectors: shape (n, dim), any real type.
        metric: cosine rows are scaled to unit length; euclidean rows stay as they are.
        dim: the dimension they must have, if one is prescribed.
        what: the word for a row in an error message.

    Returns:
        float32 (n, dim), C-contiguous; `vectors` itself where nothing had to change.

    Raises:
        LookalikeError: for another shape, or naming the first row that is not finite, or zero under cosine.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or (dim is not None and vectors.shape[1] != dim) or vectors.shape[1] == 0:
        expected = f"(n, {dim or 'dim'})"
        raise LookalikeError(f"Expected {what} rows of shape {expected}. Received: shape {vectors.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", vectors, vectors)
    bad = ~np.isfinite(squares)
    if bad.any():
        row = int(np.argmax(bad))
        raise LookalikeError(
            f"Expected finite {what} values whose squares sum to a float32. Received: {what} {row} of "
            f"{len(vectors)} has {_worst(vectors[row])}"
        )
    if metric == "euclidean":
        return vectors
    zero = squares < np.finfo(np.float32).tiny
    if zero.any():
        row = int(np.argmax(zero))
        raise LookalikeError(
            f"Expected a {what} with a direction, as metric cosine needs. Received: {what} {row} of "
            f"{len(vectors)} is zero"
        )
    lengths = np.sqrt(squares)
    off = np.abs(lengths - 1) > _UNIT
    if off.any():
        vectors = vectors / np.where(off, lengths, np.float32(1))[:, None]
    return vectors


def _worst(row: np.ndarray) -> str:
    bad = ~np.isfinite(row)
    place = int(np.argmax(bad)) if bad.any() else int(np.argmax(np.abs(row)))
    return f"{row[place]} at position {place}"


def pair_scores(
    vectors: np.ndarray, queries: np.ndarray, rows: np.ndarray, metric: Metric, threads: int = 1
) -> np.ndarray:
    """The score of each query with each of its rows, the same to the bit wherever the two vectors stand.

    ScaNN's kernels sum in an order that depends on a row's position, so that copies of one picture may differ
    in the last bit; here every pair is summed alike.

    Args:
        vectors: float32 (n, dim), as `checked` returns them.
        queries: float32 (q, dim), likewise.
        rows: int64 (q, w), rows of `vectors`; -1 for none.
        metric: cosine gives the dot product, kept within -1 and 1; euclidean the distance.
        threads: cores to use.

    Returns:
        float32 (q, w), NaN where the row is -1.
    """
    scores = np.full(rows.shape, np.nan, np.float32)
    if not rows.size or not len(vectors):
        return scores
    # A memory map's own class would be wrapped again at every slice.
    vectors = np.asarray(vectors)
    dim, width = vectors.shape[1], rows.shape[1]
    step = max(1, min(len(rows), _GATHERED // (width * dim)))

    def score(worker: int) -> None:
        buffer = np.empty((step * width, dim), np.float32)
        for start in range(worker * step, len(rows), threads * step):
            part = slice(start, start + step)
            flat = rows[part].reshape(-1)
            # "wrap" takes row -1 as the last one, without the copy that checking every row costs.
            gathered = vectors.take(flat, axis=0, out=buffer[: len(flat)], mode="wrap").reshape(
                -1, width, dim
            )
            if metric == "euclidean":
                gathered -= queries[part, None, :]
                np.sqrt(np.einsum("qwd,qwd->qw", gathered, gathered), out=scores[part])
            else:
                np.clip(np.einsum("qd,qwd->qw", queries[part], gathered), -1, 1, out=scores[part])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(score, range(threads)))
    scores[rows < 0] = np.nan
    return scores


def nearness(scores: np.ndarray, metric: Metric) -> np.ndarray:
    """Scores as higher-is-nearer numbers, -inf where there is none (NaN)."""
    near = scores if metric == "cosine" else -scores
    return np.where(np.isnan(near), np.float32(-np.inf), near)


def centre(vectors: np.ndarray) -> np.ndarray:
    """Mean of vectors (n, dim), n at least 1: float32 (dim,)."""
    return vectors.mean(axis=0, dtype=np.float64).astype(np.float32)


def radius(vectors: np.ndarray) -> float:
    """Greatest distance of a vector from the mean of all, 0.0 if there are none."""
    if not len(vectors):
        return 0.0
    off = vectors - centre(vectors)
    return float(np.sqrt(np.einsum("nd,nd->n", off, off).max()))
