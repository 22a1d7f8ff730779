"""What beside a result tells which job made it, so that its pictures are found again: the job, as far as that takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..filesystem.paths import anchored
from .job import Config

_KEPT = {"corpus", "encoder", "store", "metric"}


def noted(config: Config) -> dict[str, Any]:
    """A job as JSON, with paths that do not depend on where the command was run."""
    shards = config.corpus.shards
    shards = anchored(shards) if isinstance(shards, str) else [anchored(one) for one in shards]
    corpus = config.corpus.model_copy(update={"shards": shards})
    job = config.model_copy(update={"corpus": corpus})
    return job.model_dump(mode="json", include=_KEPT, exclude_defaults=True)


def from_note(data: Mapping[str, Any]) -> Config:
    """The job that `noted` gave. Raises pydantic.ValidationError if it is none."""
    return Config.model_validate_json(json.dumps(data))
