"""`calibration.json` beside an encoder: how probable it is that a match of some score is relevant.

It is the work of `lookalike evaluate --calibrate` and part of no fingerprint, as it decides no vector. It holds for the
vectors, the metric and the steps around the search that its pairs were found with, and says what those were.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from ..digests import parse_json, sha256_json
from ..errors import LookalikeError
from ..measuring.calibration import Isotonic, Logistic
from ..settings import Section
from .post_processing import PostProcessing

MOST_BYTES = 1 << 24
"""Of the file; one of ours has a few kB."""


class Calibration(Section):
    """What was fitted, and what it belongs to.

    The probability is that of a match, at any rank up to `k`, to be relevant to its query, for queries and items like
    those that were evaluated: where relevant items are rarer, so are relevant matches of the same score.

    Attributes:
        encoder: fingerprint.
        metric: of the index.
        steps: around the search, and to the index.
        fitted: from nearness to probability.
        k: matches of a query that were looked at.
        queries, pairs: how many.
        relevance: what was relevant: a field, `directory`, or a file of judgements.
        generation: name of what was searched.
    """

    format: Literal[1] = 1
    encoder: str
    metric: Literal["cosine", "euclidean"]
    steps: PostProcessing
    fitted: Annotated[Isotonic | Logistic, Field(discriminator="method")]
    k: Annotated[int, Field(ge=1)]
    queries: Annotated[int, Field(ge=1)]
    pairs: Annotated[int, Field(ge=1)]
    relevance: str
    generation: str

    def apply(self, near: np.ndarray) -> np.ndarray:
        """The probability of matches: float32 of the shape of `near`, which is the cosine or minus the distance."""
        return self.fitted.apply(near).astype(np.float32)

    def why_not(self, encoder: str, metric: str, steps: PostProcessing) -> str | None:
        """What it does not fit, in words; None where it holds for all of these."""
        if self.encoder != encoder:
            return f"it is of the encoder {self.encoder[:16]}, the index of {encoder[:16]}"
        if self.metric != metric:
            return f"it is of metric {self.metric}, the index of {metric}"
        if self.steps != steps:
            return f"it was made with the steps {self.steps}, in use are {steps}"
        return None


def calibration_json(calibration: Calibration) -> bytes:
    """What `read_calibration` reads."""
    data = calibration.model_dump(mode="json")
    return (json.dumps(data | {"digest": sha256_json(data)}, indent=1) + "\n").encode()


def read_calibration(data: bytes, path: str) -> Calibration:
    """A calibration from the bytes of its file.

    Args:
        data: the whole file, or a byte more than `MOST_BYTES` of it.
        path: of the file, for the sentence.

    Raises:
        LookalikeError: if it is damaged, or not of this version.
    """
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        values = parse_json(data)
        expected, found = values.pop("digest", None), sha256_json(values)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LookalikeError(f"The calibration is damaged: {path} is no JSON of ours: {error}") from None
    if found != expected:
        raise LookalikeError(
            f"The calibration is damaged: {path} should have digest {expected}. Received: {found}"
        )
    try:
        return Calibration.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LookalikeError(f"Expected other values in {path}. Received: {where}: {first['msg']}") from None
