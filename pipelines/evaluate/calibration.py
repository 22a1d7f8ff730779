"""How probable it is that a match is relevant: pairs from the rankings of an evaluation, fitted, and told in figures.

The pairs are what rows of a result table are: each query with its first k items, k being `query.k`, junk and the
query's own item aside. A query to which nothing is relevant in the corpus counts: its matches are wrong ones, as they
would be in a result table. A calibration that is there already is not fitted but tried, also on queries new to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lookalike.model.encoder.calibration import Calibration
from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.errors import LookalikeError
from lookalike.model.measuring.calibration import (
    FOLDS,
    METHODS,
    Reliability,
    brier,
    cross_validated,
    equal_mass,
    equal_width,
    log_loss,
)

from ..store.generation import Generation
from .ranking import RankedCorpus

ROWS = 10
"""Of the table of scores and probabilities."""


@dataclass
class Pairs:
    """The pairs so far.

    Attributes:
        k: matches of a query that are looked at.
        near, relevant, query: of each block of queries, float32, bool and int64 (pairs,).
        queries: number of queries.
    """

    k: int
    near: list[np.ndarray] = field(default_factory=list)
    relevant: list[np.ndarray] = field(default_factory=list)
    query: list[np.ndarray] = field(default_factory=list)
    queries: int = 0

    def add(self, corpus: RankedCorpus, queries: np.ndarray, keys: np.ndarray, grades: np.ndarray) -> None:
        """Adds the pairs of some queries.

        Args:
            corpus: what is ranked.
            queries: float32 (queries, dim), as they were asked last.
            keys, grades: int64 and int8 (queries, items), as `RankedCorpus.first` takes them.
        """
        columns = corpus.first(keys, grades, self.k)
        held = columns >= 0
        of_query = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
        self.near.append(corpus.near(queries, columns)[held])
        self.relevant.append(np.take_along_axis(grades, np.maximum(columns, 0), axis=1)[held] > 0)
        self.query.append(of_query[held] + self.queries)
        self.queries += len(columns)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`near`, `relevant` and `query` of all pairs."""
        parts = (self.near, self.relevant, self.query)
        near, relevant, query = (np.concatenate(part) if part else np.empty(0) for part in parts)
        return near, relevant.astype(bool), query.astype(np.int64)


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what it says of pairs that it was not fitted to.

    Attributes:
        calibration: to keep, or as it was found.
        fitted: whether it was fitted here: then the probabilities are those of cross-validation.
        log_losses: of each method, cross-validated; only where it was fitted here.
        near, relevant, probability: float, bool, float64 (pairs,).
    """

    calibration: Calibration
    fitted: bool
    log_losses: Mapping[str, float]
    near: np.ndarray
    relevant: np.ndarray
    probability: np.ndarray

    @property
    def reliability(self) -> Reliability:
        """In bins of equal width."""
        return equal_width(self.probability, self.relevant)


def calibrate(pairs: Pairs, generation: Generation, steps: PostProcessing, relevance: str) -> Calibrated:
    """Fits a calibration, by the method that does better in cross-validation over the queries.

    Raises:
        LookalikeError: if the pairs are of too few queries.
    """
    near, relevant, query = pairs.arrays()
    queries = len(np.unique(query))
    if queries < FOLDS:
        raise LookalikeError(
            f"Expected at least {FOLDS} queries with matches, better hundreds, to calibrate with. Received: {queries}"
        )
    tried = cross_validated(near, relevant, query)
    calibration = Calibration(
        encoder=generation.encoder,
        metric=generation.metric,
        steps=steps,
        fitted=METHODS[tried.method](near, relevant),
        k=pairs.k,
        queries=queries,
        pairs=len(near),
        relevance=relevance,
        generation=generation.name,
    )
    return Calibrated(calibration, True, tried.log_losses, near, relevant, tried.probability)


def tried_on(pairs: Pairs, calibration: Calibration) -> Calibrated | None:
    """What a calibration that was there says of these pairs; None without any."""
    near, relevant, _ = pairs.arrays()
    if not len(near):
        return None
    return Calibrated(calibration, False, {}, near, relevant, calibration.fitted.apply(near))


def figures(calibrated: Calibrated) -> dict[str, Any]:
    """How good the probabilities are, as JSON."""
    calibration, probability, relevant = calibrated.calibration, calibrated.probability, calibrated.relevant
    return {
        "method": calibration.fitted.method,
        "fitted": calibrated.fitted,
        "k": calibration.k,
        "pairs": len(relevant),
        "relevant": float(relevant.mean()),
        "ece_equal_width": calibrated.reliability.error,
        "ece_equal_mass": equal_mass(probability, relevant).error,
        "log_loss": log_loss(probability, relevant),
        "brier": brier(probability, relevant),
        "log_losses": dict(calibrated.log_losses),
        "scores": _scores(calibrated),
        "fitted_to": {
            "pairs": calibration.pairs,
            "queries": calibration.queries,
            "relevance": calibration.relevance,
            "generation": calibration.generation,
        },
    }


def _scores(calibrated: Calibrated) -> list[dict[str, float]]:
    """The pairs in `ROWS` parts by their score, the lowest probability first."""
    order = np.argsort(calibrated.near, kind="stable")
    sign = 1 if calibrated.calibration.metric == "cosine" else -1
    return [
        {
            "score": sign * float(calibrated.near[part].mean()),
            "probability": float(calibrated.probability[part].mean()),
            "relevant": float(calibrated.relevant[part].mean()),
            "pairs": len(part),
        }
        for part in np.array_split(order, ROWS)
        if len(part)
    ]


def lines_of(found: Mapping[str, Any]) -> tuple[list[str], Sequence[Sequence[str]]]:
    """`figures` for people: lines, and the rows of a table of score, probability, share relevant and pairs."""
    how = "cross-validated over queries" if found["fitted"] else "of the calibration that is there"
    to = found["fitted_to"]
    lines = [
        f"calibration  {found['method']}, fitted to {to['pairs']:,} pairs: {to['queries']:,} queries and up to "
        f"{found['k']:,} matches of each; relevant by {to['relevance']}",
        f"error        {found['ece_equal_width']:.4f} expected calibration error, {how}; "
        f"{found['ece_equal_mass']:.4f} in bins of equal mass",
        f"log loss     {found['log_loss']:.4f}; Brier score {found['brier']:.4f}; {found['relevant']:.1%} of "
        f"{found['pairs']:,} pairs are relevant",
    ]
    if found["log_losses"]:
        lines.append(
            "methods      log loss "
            + ", ".join(f"{name} {loss:.4f}" for name, loss in found["log_losses"].items())
        )
    rows = [
        [f"{row['score']:.4f}", f"{row['probability']:.3f}", f"{row['relevant']:.3f}", f"{row['pairs']:,}"]
        for row in found["scores"]
    ]
    return lines, rows
