"""How alike two pictures must be: learned from copies of the catalogue's own pictures, for a wished precision.

What makes this hard is that a catalogue holds copies already: among the pairs that were found, which are false is not
known. But where false pairs are seldom, true ones are all there is, and the other way round:

- **True pairs.** Of the made copies a share `R(c)` correlates by more than `c`. At `m`, their median, no false pair was
  seen; so if `N(m)` of the catalogue's pairs correlate by more, it holds about `N(m) / R(m)` true ones.
- **False pairs.** Below `c0`, where only 1 % of the made copies of the worst kind are, nearly all pairs are false. What
  rises above it is extrapolated from the tail below: `-log(1 - c)` of the highest tenth of them is taken as
  exponential, cut off at `c0` (so that the true pairs above do not count), its rate by maximum likelihood.

The threshold is the lowest `c`, from `c0` on, at which true / (true + false) reaches the wish. If all real copies were
of the worst kind, `N(m)` would tell too few of them: the threshold then is higher than it need be, never lower. Of a
catalogue in which none is seen no precision is told, and the threshold is that of one that has a single copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .neighbours import Nearness

_MISSED = 0.002
"""Of the made copies of each kind, those that may have vectors that are less near than is looked at."""
_MANY = 0.25
"""Of all made copies, those that may be among more neighbours than are looked at."""
_WORST = 0.01
"""Of the made copies of each kind, those that may correlate by less than any threshold."""
_LEAST = 0.85
"""Correlation below which no threshold is: different pictures of one kind of thing have it (see `alignment`)."""
_TAIL = 0.1
"""Share of the false pairs from which their tail is extrapolated."""
_FEW = 20
"""Pairs in the tail with which there is nothing to extrapolate from: then none above is taken for false."""
_HIGHEST = 0.9999
"""Correlation up to which a threshold is looked for."""
_STEPS = 200


@dataclass(frozen=True, eq=False)
class MadeCopies:
    """What copies of sampled pictures have in common with these.

    Attributes:
        near: kind of copy -> how near the vectors are (higher is nearer), float32 (sample,).
        correlation: kind of copy -> see `alignment.correlation`, float32 (sample,).
    """

    near: Mapping[str, np.ndarray]
    correlation: Mapping[str, np.ndarray]

    @property
    def wanted(self) -> Nearness:
        """How near pairs must be to be looked at: all but 0.2 % of the copies of each kind are.

        Three of four copies are so near that all such pairs are looked at, however many a vector has.
        """
        least = min(float(np.quantile(near, _MISSED)) for near in self.near.values())
        return Nearness(least, float(np.quantile(np.concatenate(list(self.near.values())), _MANY)))


@dataclass(frozen=True)
class Threshold:
    """What is taken for a copy.

    Attributes:
        correlation: at least.
        precision: of the pairs that are, as estimated; None where there is no true pair to tell by.
        recall: kind of copy -> share of the made ones that is found, by their vectors and then by their pixels.
    """

    correlation: float
    precision: float | None
    recall: Mapping[str, float]


def chosen(made: MadeCopies, found: np.ndarray, wished: float, beyond: float | None = None) -> Threshold:
    """The threshold for a wished precision, and if none reaches it the one that comes nearest.

    Args:
        made: what copies are like.
        found: correlations of all pairs that were looked at, but those of equal bytes: (pairs,).
        wished: precision, from 0 to 1.
        beyond: how near a pair must be more than to be looked at; None for `made.wanted.least`, from which on they are.
    """
    every = np.concatenate(list(made.correlation.values()))
    least = min(float(np.quantile(of_kind, _WORST)) for of_kind in made.correlation.values())
    least = min(max(least, _LEAST), _HIGHEST)
    candidates = np.linspace(least, _HIGHEST, _STEPS)
    middle = float(np.median(every))
    true = (found >= middle).sum() / max((every >= middle).mean(), 1e-9)
    # Where no copy is seen, some may be there below the median: as if there were one.
    right = max(true, 1.0) * np.array([(every >= c).mean() for c in candidates])
    wrong = _false_above(found, least, candidates)
    with np.errstate(invalid="ignore"):
        precision = np.where(right + wrong > 0, right / (right + wrong), 0.0)
    good = np.flatnonzero(precision >= wished)
    at = int(good[0]) if len(good) else int(np.argmax(precision))
    correlation = float(candidates[at])
    return Threshold(correlation, float(precision[at]) if true else None, recalls(made, correlation, beyond))


def recalls(made: MadeCopies, correlation: float, beyond: float | None = None) -> dict[str, float]:
    """Kind of copy -> share of the made ones that is found with this threshold; see `chosen`."""
    least = made.wanted.least
    found = {}
    for kind, near in made.near.items():
        is_looked_at = near >= least if beyond is None else near > beyond
        found[kind] = float((is_looked_at & (made.correlation[kind] >= correlation)).mean())
    return found


def _false_above(found: np.ndarray, least: float, at: np.ndarray) -> np.ndarray:
    """How many false pairs are expected to correlate by more than each of `at`, none of which is below `least`."""
    depths = -np.log(1 - np.clip(found[found < least], -1, _HIGHEST))
    if not len(depths):
        return np.zeros(len(at))
    end, start = -np.log(1 - least), float(np.quantile(depths, 1 - _TAIL))
    tail = depths[depths >= start] - start
    if len(tail) < _FEW or end <= start:
        return np.zeros(len(at))
    rate = _rate(float(tail.mean()), end - start)
    beyond = len(tail) / np.expm1(rate * (end - start))
    return np.asarray(beyond * np.exp(-rate * (-np.log(1 - at) - end)))


def _rate(mean: float, length: float) -> float:
    """Rate of an exponential distribution that is cut off at `length` and has this mean there.

    Its mean is 1 / rate - length / (exp(rate length) - 1) (Johnson, Kotz and Balakrishnan 1994, chapter 19), which
    falls with the rate; where it is half of the length or more, nothing falls off, and the least rate is taken.
    """
    low, high = 1e-3 / length, 1e3 / length
    for _ in range(100):
        rate = (low + high) / 2
        with np.errstate(over="ignore"):
            expected = 1 / rate - length / np.expm1(rate * length)
        low, high = (rate, high) if expected > mean else (low, rate)
    return rate
