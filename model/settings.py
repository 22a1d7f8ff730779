"""What settings have in common, in job files and in bundles."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys and values that belong together; none but those that are declared, each of its own type, unchanged after."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
