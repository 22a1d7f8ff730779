"""A score as a sum over pairs of places, one of each picture: exact arithmetic on arrays.

A vector v that is linear in the places of a feature map is a sum of parts, v = sum of v_i, one for each place i. So is
that of the other picture, w = sum of w_j, and their cosine is a sum over pairs of places:

    cosine(v, w) = sum over i and j of v_i w_j / (|v| |w|)

Sources: Stylianou, Souvenir and Pless, "Visualizing Deep Similarity Networks", WACV 2019, for average and maximum
pooling; Zhu, Yang and Chen, "Visual Explanation for Deep Metric Learning", arXiv 1909.12977, 2019, for the pairs and
what lies between pooling and score. The part of GeM pooling is ours.
"""

from __future__ import annotations

import numpy as np

from ..encoder.projection import Projection
from ..networks.pooling import GEM_POWER


def pooled_parts(
    feature_map: np.ndarray, pooling: str, power: float = GEM_POWER, least: float = 1e-6
) -> np.ndarray:
    """What each place adds to the pooled vector.

    With n places and x_i the features of place i:

        avg  x_i / n
        max  x_i at the first place that has the maximum of a channel, 0 elsewhere
        gem  x_i^p / n * m^(1/p - 1), where m is the mean of x^p; their sum is m^(1/p)

    Args:
        feature_map: array of shape (height, width, channels); for `gem` non-negative.
        pooling: `avg`, `max` or `gem`.
        power, least: of `gem`, as `model.networks.pooling.gem` has them.

    Returns:
        float64 (height, width, channels); its sum over places is the pooled vector.
    """
    x = feature_map.astype(np.float64)
    places = x.shape[0] * x.shape[1]
    if pooling == "avg":
        return x / places
    if pooling == "max":
        flat = x.reshape(places, -1)
        first = np.arange(places)[:, None] == flat.argmax(axis=0)
        return np.where(first, flat, 0).reshape(x.shape)
    powers = np.maximum(x, least) ** power
    return powers / places * powers.mean(axis=(0, 1)) ** (1 / power - 1)


def vector_parts(parts: np.ndarray, projection: Projection | None, unit_length: bool) -> np.ndarray:
    """Parts of pooled features to parts of the vector, before that is scaled to length 1.

    What belongs to no place, the mean that a projection subtracts, is spread evenly over all.

    Args:
        parts: (height, width, features), whose sum over places are the features.
        projection: of the encoder, if it has one.
        unit_length: whether features have length 1 when they are projected.

    Returns:
        float64 (height, width, dim).
    """
    parts = parts.astype(np.float64)
    if unit_length:
        parts = parts / (np.linalg.norm(parts.sum(axis=(0, 1))) or 1)
    if projection is None:
        return parts
    places = parts.shape[0] * parts.shape[1]
    return (parts - projection.mean_.astype(np.float64) / places) @ projection.components_.T.astype(
        np.float64
    )


def similarity_map(query: np.ndarray, match: np.ndarray) -> np.ndarray:
    """The share of each pair of places in the cosine of two vectors; below 0 for places that speak against it.

    Args:
        query, match: parts of the two vectors, (height, width, dim) and (rows, columns, dim).

    Returns:
        float64 (height, width, rows, columns); its sum is the cosine. Summed over the last two axes it is the map of
        the query, over the first two that of the match. All 0 where a vector has no length.

    >>> query, match = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[[2.0, 2.0]]])
    >>> similarity_map(query, match).shape, round(float(similarity_map(query, match).sum()), 9)
    ((1, 2, 1, 1), 1.0)
    """
    lengths = np.linalg.norm(query.sum(axis=(0, 1))) * np.linalg.norm(match.sum(axis=(0, 1)))
    return np.tensordot(query, match, axes=(2, 2)) / (lengths or np.inf)


def strongest_pairs(pairs: np.ndarray, count: int, apart: int = 2) -> list[tuple[int, int, int, int]]:
    """The pairs of places with the greatest shares above 0, the greatest first.

    Args:
        pairs: as of `similarity_map`.
        count: how many at the most.
        apart: places that two pairs must be apart, up, down or sideways, in both pictures: the neighbours of a strong
            pair are strong as well, and would be all that is seen.

    Returns:
        (row, column) in the query and (row, column) in the match of each.
    """
    found: list[tuple[int, int, int, int]] = []
    for flat in np.argsort(-pairs, axis=None, kind="stable"):
        pair = tuple(int(place) for place in np.unravel_index(flat, pairs.shape))
        if len(found) == count or pairs[pair] <= 0:
            break
        if all(
            _distance(pair[:2], one[:2]) >= apart and _distance(pair[2:], one[2:]) >= apart for one in found
        ):
            found.append(pair)  # type: ignore[arg-type]
    return found


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
