"""Command-line options that several groups of commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The job file, such as config/nightly.yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the job file; may be repeated."),
]

UNKNOWN = 4
"""Exit code: done, but an id that was named is nowhere."""
IN_PART = 3
"""Exit code: done, but a shard could be read only in part or was not as it was listed, no query answered or measured,
or a file is damaged."""
