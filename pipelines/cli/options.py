"""Command-line options that several groups of commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.model.errors import LookalikeError

from ..filesystem.paths import expanded

if TYPE_CHECKING:
    from ..config.job import Config


def expand(given: Any) -> Any:
    """Callback of an option or argument that is a path, or several: what `paths.expanded` makes of it."""
    if isinstance(given, list):
        return [expand(one) for one in given]
    return type(given)(expanded(str(given))) if given is not None else None


def load_config(path: Path, overrides: list[str] | None = None) -> Config:
    """See `job.load_config`, which is imported only now: nobody waits for it who asks for help."""
    from ..config.job import load_config as load

    return load(path, overrides)


def beam_flags(ctx: typer.Context) -> list[str]:
    """What stands behind `--`. Raises LookalikeError for an argument more than the command has, which is there, too."""
    if ctx.args and not ctx.args[0].startswith("-"):
        raise LookalikeError(
            f"Expected no further argument than {ctx.command.name} has, and flags of Beam behind `--`. Received: "
            f"{ctx.args[0]}. A pattern in quotes is not made into many arguments by the shell"
        )
    return ctx.args


ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="FILE", callback=expand, help="The job file, such as config/nightly.yaml."
    ),
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
