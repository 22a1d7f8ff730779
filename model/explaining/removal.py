"""Whether a map is right: the score while places go, in the order of their shares.

Source: Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
section 4.2. If the map is right, the score falls faster than with any order that knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .occlusion import ScoreOf, replaced


@dataclass(frozen=True)
class Areas:
    """The mean score on the way, which is the area below its curve: with places by their share, and in random order."""

    by_share: float
    at_random: float


def removal_areas(
    pixels: np.ndarray,
    other: np.ndarray,
    shares: np.ndarray,
    score_of: ScoreOf,
    *,
    steps: int = 10,
    orders: int = 4,
) -> Areas:
    """How fast the score changes while a picture becomes another, place by place.

    From a picture to its blurred self the area by share is to be below the one at random (deletion), from the blurred
    one to the picture above it (insertion).

    Args:
        pixels, other: uint8 (height, width, 3): the picture at the beginning and at the end.
        shares: of places, (rows, columns).
        score_of: scores of pictures.
        steps: from the one to the other.
        orders: random ones, the same every time, whose mean is taken.
    """
    draws = np.random.default_rng(0)
    random = [draws.permutation(shares.size).reshape(shares.shape) for _ in range(orders)]
    by_share, *at_random = (
        area(removal_curve(pixels, other, order, score_of, steps)) for order in (by_share_of(shares), *random)
    )
    return Areas(by_share, float(np.mean(at_random)))


def removal_curve(
    pixels: np.ndarray, other: np.ndarray, order: np.ndarray, score_of: ScoreOf, steps: int
) -> np.ndarray:
    """Scores while the places of a picture become those of another.

    Args:
        pixels, other: uint8 (height, width, 3): the picture at the beginning and at the end.
        order: int (rows, columns): the rank of each place, 0 for the one that goes first; see `by_share_of`.
        score_of: scores of pictures.
        steps: how many.

    Returns:
        float64 (steps + 1,).
    """
    counts = np.rint(np.linspace(0, order.size, steps + 1)).astype(int)
    return score_of(np.stack([replaced(pixels, other, order < count) for count in counts])).astype(np.float64)


def by_share_of(shares: np.ndarray) -> np.ndarray:
    """The ranks of places, (rows, columns), the one with the greatest share first."""
    return np.argsort(np.argsort(-shares, axis=None, kind="stable"), kind="stable").reshape(shares.shape)


def area(curve: np.ndarray) -> float:
    """The area below a curve whose way is 1 long: the mean score."""
    return float((curve[1:] + curve[:-1]).mean() / 2)
