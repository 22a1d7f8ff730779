"""What a score is: which vectors may be scored, and one formula that gives equal vectors equal scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lookalike.model.errors import LookalikeError

from ..store.index_manifest import Metric
from .stored import JoinedVectors, Vectors

_UNIT = 1e-6
"""A row whose length differs from 1 by no more is unit length already and stays as it is, to the bit."""
SHORT, LONG = 2.0**-40, 2.0**60
"""Between these, the square of a length and all of it that counts are numbers that float32 holds; beyond, lengths are
computed in double precision."""
_ROWS_AT_ONCE = 1 << 14
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
        LookalikeError: for another shape, or naming the first row that is not finite, or all zeros under cosine.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or (dim is not None and vectors.shape[1] != dim) or vectors.shape[1] == 0:
        expected = f"(n, {dim or 'dim'})"
        raise LookalikeError(f"Expected {what} rows of shape {expected}. Received: shape {vectors.shape}")
    lengths = lengths_of(vectors)
    if not np.isfinite(lengths).all():
        row = int(np.argmin(np.isfinite(lengths)))
        place = int(np.argmin(np.isfinite(vectors[row])))
        raise LookalikeError(
            f"Expected finite {what} values. Received: {what} {row} of {len(vectors)} has {vectors[row, place]} at "
            f"position {place}"
        )
    if metric == "euclidean":
        return vectors
    if not lengths.all():
        row = int(np.argmin(lengths))
        raise LookalikeError(
            f"Expected a {what} with a direction, as metric cosine needs. Received: {what} {row} of "
            f"{len(vectors)} is zero"
        )
    off = np.abs(lengths - 1) > _UNIT
    if off.any():
        extreme = (lengths < SHORT) | (lengths > LONG)
        scaled = vectors / np.where(off & ~extreme, lengths, 1).astype(np.float32)[:, None]
        scaled[extreme] = vectors[extreme] / lengths[extreme, None]
        vectors = scaled
    return vectors


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Euclidean lengths of float32 vectors (n, dim), float64 (n,): right also where squares leave float32's range."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors)).astype(np.float64)
    extreme = np.flatnonzero(~((lengths >= SHORT) & (lengths <= LONG)))
    for start in range(0, len(extreme), _ROWS_AT_ONCE):
        rows = extreme[start : start + _ROWS_AT_ONCE]
        lengths[rows] = np.sqrt(np.square(vectors[rows], dtype=np.float64).sum(axis=1))
    return lengths


def pair_scores(
    vectors: Vectors | JoinedVectors, queries: np.ndarray, rows: np.ndarray, metric: Metric, threads: int = 1
) -> np.ndarray:
    """The score of each query with each of its rows, the same to the bit wherever the two vectors stand.

    ScaNN's kernels sum in an order that depends on a row's position, so that copies of one picture may differ
    in the last bit; here every pair is summed alike.

    Args:
        vectors: float32 (n, dim), as `checked` returns them, or rounded from that.
        queries: float32 (q, dim), as `checked` returns them.
        rows: int64 (q, w), rows of `vectors`; -1 for none.
        metric: cosine gives the dot product, kept within -1 and 1; euclidean the distance, at most the largest float32.
        threads: cores to use.

    Returns:
        float32 (q, w), NaN where the row is -1.
    """
    scores = np.full(rows.shape, np.nan, np.float32)
    if not rows.size or not len(vectors):
        return scores
    if isinstance(vectors, np.ndarray):
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
                with np.errstate(over="ignore", invalid="ignore"):
                    gathered -= queries[part, None, :]
                    np.sqrt(np.einsum("qwd,qwd->qw", gathered, gathered), out=scores[part])
                _measure_extremes(vectors, queries[part], rows[part], scores[part])
            else:
                np.clip(np.einsum("qd,qwd->qw", queries[part], gathered), -1, 1, out=scores[part])

    if threads == 1:
        score(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(score, range(threads)))
    scores[rows < 0] = np.nan
    return scores


def _measure_extremes(
    vectors: Vectors | JoinedVectors, queries: np.ndarray, rows: np.ndarray, distances: np.ndarray
) -> None:
    """Computes again, in double precision, distances whose squares leave float32's range."""
    of_query, places = np.nonzero(~((distances >= SHORT) & (distances <= LONG)))
    step = max(1, _GATHERED // vectors.shape[1])
    for start in range(0, len(places), step):
        query, place = of_query[start : start + step], places[start : start + step]
        apart = vectors[rows[query, place]].astype(np.float64) - queries[query]
        squares = np.einsum("nd,nd->n", apart, apart)
        distances[query, place] = np.minimum(np.sqrt(squares), np.finfo(np.float32).max)


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
    middle = centre(vectors)
    with np.errstate(over="ignore", invalid="ignore"):
        off = vectors - middle
        found = float(np.sqrt(np.einsum("nd,nd->n", off, off).max()))
    if SHORT <= found <= LONG:
        return found
    parts = (vectors[start : start + _ROWS_AT_ONCE] for start in range(0, len(vectors), _ROWS_AT_ONCE))
    return max(float(np.sqrt(np.square(p.astype(np.float64) - middle).sum(axis=1).max())) for p in parts)
