"""The job file of `lookalike train`: a recipe, and the images and labels to use it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from lookalike.model.images.preprocess import parse_spec
from lookalike.model.settings import Section
from lookalike.model.training.recipe import Network, Recipe

from ..config.job import Corpus
from ..config.job_file import read_job
from ..filesystem.paths import WrittenPath, checked
from ..sources.records import DIRECTORY
from ..sources.types import is_list


class Validation(Section):
    """What the best epoch is chosen by."""

    shards: WrittenPath | list[WrittenPath] | None = Field(
        None, description="images of their own, read as the corpus is"
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="without shards: of the corpus, chosen by the ids and left out of training; 0.1"
    )

    @model_validator(mode="after")
    def _check(self) -> Validation:
        if self.shards is not None and self.share is not None:
            raise ValueError("shards or a share of the corpus are expected, not both")
        return self

    @property
    def part(self) -> float:
        """Of the corpus that is kept apart; 0 where validation has shards of its own."""
        return 0.0 if self.shards is not None else self.share or 0.1


class TrainConfig(Recipe):
    """One job file."""

    run: WrittenPath = Field(description="local folder of the run: checkpoint, curves, the network")
    corpus: Corpus
    label: str = Field(
        DIRECTORY,
        description="metadata field that is the class; directory: what stands before the id's last /",
    )
    validation: Validation = Validation()
    checkpoint_minutes: Annotated[float, Field(gt=0)] = Field(
        5, description="the longest time between checkpoints; there is one after each epoch"
    )

    @field_validator("network")
    @classmethod
    def _expand(cls, network: Network) -> Network:
        written = {"name": network.name, "weights": network.weights}
        return network.model_copy(update={key: path and checked(path) for key, path in written.items()})

    @model_validator(mode="after")
    def _check_label(self) -> TrainConfig:
        kind = self.corpus.metadata.get(self.label, "string")
        if kind == "float64" or is_list(kind):
            raise ValueError(
                f"a label of single values, but no float64, is expected, not {self.label} of type {kind}"
            )
        return self

    @model_validator(mode="after")
    def _check_files(self) -> TrainConfig:
        if "://" in self.run:
            raise ValueError(f"a local folder is expected as run, not {self.run}")
        if self.network.preprocessing is not None:
            spec = parse_spec(self.network.preprocessing)
            if spec.height != spec.width:
                raise ValueError(
                    f"a preprocessing spec that ends with square pictures is expected, not {spec}"
                )
        return self

    def decides(self) -> dict[str, Any]:
        """What decides the result, flat: dotted key -> value. Where things are and go is not among it."""
        whole = json.loads(
            self.model_dump_json(exclude={"run", "corpus", "checkpoint_minutes"}, by_alias=True)
        )
        whole["validation"] = {"share": self.validation.part}
        return dict(_flat(whole, ""))


def _flat(value: Any, key: str) -> Any:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def load_train_config(path: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Reads a job file of `lookalike train`; see `config.job_file.read_job`."""
    return read_job(TrainConfig, path, overrides)
