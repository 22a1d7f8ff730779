"""The column `probability` of results: which calibration it comes from, and what it leaves out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from lookalike.model.encoder.calibration import Calibration
from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..index.answers import Answers
from ..store.calibrations import calibration_of
from ..store.generation import Generation

logger = logging.getLogger(__name__)
COLUMN = pa.field("probability", pa.float32())
"""Of results, behind `score`, where there is a calibration."""


@dataclass(frozen=True)
class Probability:
    """What tells the probability of matches; it travels to workers.

    Attributes:
        calibration: from nearness to probability.
        least: matches of a lower probability are left out; 0 for none.
    """

    calibration: Calibration
    least: float = 0.0

    def column(self, near: np.ndarray) -> pa.Array:
        """Of matches that are so near: float32."""
        return pa.array(self.calibration.apply(near))

    def only_probable(self, answers: Answers) -> Answers:
        """The matches that are probable enough, each query's in their order, ranked anew."""
        if not self.least:
            return answers
        held = answers.held
        kept = held.copy()
        kept[held] = self.calibration.apply(answers.near[held]) >= np.float32(self.least)
        if (kept == held).all():
            return answers
        first = np.argsort(~kept, axis=1, kind="stable")
        near = np.take_along_axis(np.where(kept, answers.near, np.float32(-np.inf)), first, axis=1)
        which = kept[held]
        vectors = None if answers.vectors is None else answers.vectors[which]
        return replace(answers, near=near, items=answers.items.filter(pa.array(which)), vectors=vectors)


def probability_of(
    config: Config, generation: Generation, steps: PostProcessing, least: float | None, k: int
) -> Probability | None:
    """What tells the probability of the matches of a query job; None where nothing does.

    Args:
        config: the job.
        generation: what answers.
        steps: in use.
        least: the probability that is asked for; None for any.
        k: matches a query.

    Raises:
        LookalikeError: if one is asked for and no calibration tells it, or a calibration is damaged.
        OSError: if a calibration cannot be read.
    """
    found, refused = calibration_of(config.store, config.encoder, generation, steps)
    if found:
        if k > found.k:
            logger.warning(
                "probabilities were fitted to the first %s matches of a query, and are too high for the first %s: "
                "`lookalike evaluate --calibrate --set query.k=%s` fits them to those",
                *(found.k, k, k),
            )
        return Probability(found, least or 0.0)
    if least is not None:
        raise LookalikeError(
            "Expected a calibration for --min-probability: `lookalike evaluate --calibrate` makes one, from queries "
            f"whose right answers are known. Received: {refused or f'none beside {config.encoder}'}"
        )
    if refused:
        logger.warning("results have no probability: %s", refused)
    return None
