"""From a score to a probability: fitted to labelled pairs, and how far the probabilities can be trusted, on arrays.

`near` is how near a pair is, higher is nearer: the cosine, or the distance with a minus before it. Both functions that
are fitted never fall as `near` rises, and never say 0 or 1, which no number of pairs can show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ..imports import sklearn
from ..settings import Section

FOLDS = 5
BINS = 15
"""Of the expected calibration error, as in Guo et al."""
SEED = 0
"""Of the order in which queries are dealt into folds."""
_ADDED = 2.0
"""Pairs of the mean kind that are added to each step of an isotonic fit; 2 as in Laplace's rule of succession."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Steps = Annotated[tuple[_Finite, ...], Field(min_length=1, max_length=100_000, strict=False)]


class Isotonic(Section):
    """A line through points, level before the first and behind the last.

    Attributes:
        near, probability: of the points, both ascending.
    """

    method: Literal["isotonic"] = "isotonic"
    near: _Steps
    probability: _Steps

    @model_validator(mode="after")
    def _check(self) -> Isotonic:
        rising = all((np.diff(steps) >= 0).all() for steps in (self.near, self.probability))
        within = 0 <= self.probability[0] <= self.probability[-1] <= 1
        if not (len(self.near) == len(self.probability) and rising and within):
            raise ValueError("points are expected that rise, with probabilities from 0 to 1")
        return self

    def apply(self, near: np.ndarray) -> np.ndarray:
        """The probability of each pair, float64 of the shape of `near`."""
        return np.interp(near, self.near, self.probability)


class Logistic(Section):
    """1 / (1 + exp(-(slope * near + intercept)))."""

    method: Literal["logistic"] = "logistic"
    slope: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    intercept: _Finite

    def apply(self, near: np.ndarray) -> np.ndarray:
        """The probability of each pair, float64 of the shape of `near`."""
        # Beyond 700 the exponential leaves double precision.
        return 1 / (
            1 + np.exp(-np.clip(self.slope * np.asarray(near, np.float64) + self.intercept, -700, 700))
        )


Fitted = Isotonic | Logistic


def fit_isotonic(near: np.ndarray, relevant: np.ndarray) -> Isotonic:
    """The steps of an isotonic regression, by the pool-adjacent-violators algorithm, joined at their middles.

    The share of relevant pairs in a step is drawn a little towards that of all pairs, more so in a step of few pairs:
    the highest and the lowest step, which often hold a handful, would say 1 and 0. On the clothing photographs that
    lowered the log loss from 0.512 to 0.505, and joining middles instead of ends from 0.541 to 0.512.

    Sources: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD
    2002; the middles, Oron and Flournoy, "Centered Isotonic Regression", Statistics in Biopharmaceutical Research 2017;
    the drawing, Cestnik, "Estimating Probabilities", ECAI 1990.

    Args:
        near: shape (pairs,), finite, one at least.
        relevant: bool (pairs,).
    """
    near, relevant = _checked(near, relevant)
    fit = sklearn().isotonic.isotonic_regression
    order = np.argsort(near, kind="stable")
    values, first, pairs_of = np.unique(near[order], return_index=True, return_counts=True)
    hits_of = np.add.reduceat(relevant[order].astype(np.float64), first)
    level = fit(hits_of / pairs_of, sample_weight=pairs_of.astype(np.float64))
    starts = np.flatnonzero(np.r_[True, level[1:] > level[:-1]])
    pairs = np.add.reduceat(pairs_of.astype(np.float64), starts)
    middles = np.add.reduceat(values * pairs_of, starts) / pairs
    drawn = (np.add.reduceat(hits_of, starts) + _ADDED * _base_rate(relevant)) / (pairs + _ADDED)
    return Isotonic(
        near=tuple(middles.tolist()),
        probability=tuple(fit(drawn, sample_weight=pairs + _ADDED).tolist()),
    )


def fit_logistic(near: np.ndarray, relevant: np.ndarray) -> Logistic:
    """Logistic regression, with targets a little within 0 and 1, so that classes that a score parts stay finite.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2.

    Args:
        near, relevant: as for `fit_isotonic`.

    Returns:
        Its slope is never below 0: where far pairs are the relevant ones, all have one probability.
    """
    near, relevant = _checked(near, relevant)
    hits = int(relevant.sum())
    target = np.where(relevant, (hits + 1) / (hits + 2), 1 / (len(near) - hits + 2))
    middle, width = float(near.mean()), float(near.std()) or 1.0
    scaled = np.tile((near - middle) / width, 2)[:, None]
    model = sklearn().linear_model.LogisticRegression(C=1e10, tol=1e-8, max_iter=1000)
    model.fit(scaled, np.repeat([1, 0], len(near)), sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0]) / width
    if slope <= 0:
        rate = _base_rate(relevant)
        return Logistic(slope=0.0, intercept=float(np.log(rate / (1 - rate))))
    return Logistic(slope=slope, intercept=float(model.intercept_[0]) - slope * middle)


METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray], Fitted]] = {
    "isotonic": fit_isotonic,
    "logistic": fit_logistic,
}


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation came to.

    Attributes:
        method: the one of the lowest log loss.
        log_losses: of each method.
        probability: float64 (pairs,), of each pair by that method, fitted without the pair's query.
    """

    method: str
    log_losses: Mapping[str, float]
    probability: np.ndarray


def cross_validated(near: np.ndarray, relevant: np.ndarray, query: np.ndarray) -> CrossValidated:
    """Fits each method to four fifths of the queries and asks for the probabilities of the others, five times.

    The pairs of a query are all in one fold: they are alike, and what was fitted with some of them would know the rest.

    Args:
        near, relevant: as for `fit_isotonic`.
        query: int (pairs,), the query of each pair, numbered from 0; `FOLDS` queries at least.

    Raises:
        ValueError: for fewer queries.
    """
    near, relevant = _checked(near, relevant)
    distinct, which = np.unique(query, return_inverse=True)
    if len(distinct) < FOLDS:
        raise ValueError(f"Expected at least {FOLDS} queries. Received: {len(distinct)}")
    fold = (np.random.default_rng(SEED).permutation(len(distinct)) % FOLDS)[which]
    found: dict[str, np.ndarray] = {}
    for name, fit in METHODS.items():
        found[name] = np.empty(len(near))
        for one in range(FOLDS):
            out = fold == one
            found[name][out] = fit(near[~out], relevant[~out]).apply(near[out])
    losses = {name: log_loss(probability, relevant) for name, probability in found.items()}
    best = min(losses, key=losses.__getitem__)
    return CrossValidated(best, losses, found[best])


def log_loss(probability: np.ndarray, relevant: np.ndarray) -> float:
    """Mean of -log of the probability of what was the case, in nats.

    >>> log_loss(np.array([0.5, 0.5]), np.array([True, False])) == float(np.log(2))
    True
    """
    said = np.where(relevant, probability, 1 - probability)
    return float(-np.log(np.maximum(said, np.finfo(np.float64).tiny)).mean())


def brier(probability: np.ndarray, relevant: np.ndarray) -> float:
    """Mean square of the difference between the probability and 1 or 0.

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    >>> brier(np.array([0.9, 0.2]), np.array([True, False]))  # doctest: +ELLIPSIS
    0.025...
    """
    return float(np.square(probability - relevant).mean())


@dataclass(frozen=True)
class Reliability:
    """Pairs in bins of their probability; empty bins are left out.

    Attributes:
        pairs: int64 (bins,), how many.
        probability, relevant: float64 (bins,), the mean probability, and the share that is relevant.
    """

    pairs: np.ndarray
    probability: np.ndarray
    relevant: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean, over pairs, of the difference between the two in their bin."""
        return float(self.pairs @ np.abs(self.probability - self.relevant) / self.pairs.sum())


def equal_width(probability: np.ndarray, relevant: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins (0, 1/bins], ... (1 - 1/bins, 1] of the probability, as in Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, equation 3, which has the confidence of a class there. For a probability it is that of
    Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    >>> equal_width(np.array([0.1, 0.3, 0.9]), np.array([False, True, True]), bins=2).error  # doctest: +ELLIPSIS
    0.2333...
    """
    return _binned(
        np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1), probability, relevant
    )


def equal_mass(probability: np.ndarray, relevant: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins of as many pairs each; pairs of one probability stay together.

    Source: Nguyen and O'Connor, "Posterior Calibration and Exploratory Analysis for Natural Language Processing
    Models", EMNLP 2015.
    """
    edges = np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1], method="lower")
    return _binned(np.searchsorted(edges, probability), probability, relevant)


def _binned(place: np.ndarray, probability: np.ndarray, relevant: np.ndarray) -> Reliability:
    pairs = np.bincount(place)
    held = np.flatnonzero(pairs)
    means = (np.bincount(place, weights)[held] / pairs[held] for weights in (probability, relevant))
    return Reliability(pairs[held], *means)


def _base_rate(relevant: np.ndarray) -> float:
    """Share of relevant pairs, by Laplace's rule of succession: within 0 and 1."""
    return (int(relevant.sum()) + 1) / (len(relevant) + 2)


def _checked(near: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near, relevant = np.asarray(near, np.float64), np.asarray(relevant, bool)
    if near.ndim != 1 or near.shape != relevant.shape or not len(near) or not np.isfinite(near).all():
        raise ValueError(
            f"Expected finite values of shape (pairs,), one pair or more. Received: {near.shape}, {relevant.shape}"
        )
    return near, relevant
