"""Job files that are written and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lookalike.config.job import Config, load_config
from lookalike.model.errors import LookalikeError

LEAST = {"corpus": {"shards": "a"}, "encoder": "e", "store": "s"}
"""The keys that a job file must have."""
Load = Callable[..., Config]


def loader(folder: Path) -> Load:
    """load(data, *overrides): a job of that text or mapping, by way of a file in `folder`."""

    def load(data: object, *overrides: str) -> Config:
        path = folder / "job.yaml"
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
        return load_config(path, list(overrides))

    return load


def refused(load: Load, data: object, *overrides: str) -> str:
    """The one line that a wrong job file gets."""
    with pytest.raises(LookalikeError) as error:
        load(data, *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """The least job with these keys more."""
    return {name: {**LEAST.get(name, {}), **keys} for name, keys in sections.items()} | {
        name: value for name, value in LEAST.items() if name not in sections
    }
