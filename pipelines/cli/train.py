"""The command `lookalike train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import IN_PART, Overrides, expand


def train(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            callback=expand,
            help="The job file, such as config/train-head.yaml.",
        ),
    ],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what the run folder holds and begin anew.")
    ] = False,
    set: Overrides = None,
) -> None:
    """Train a network on labelled images; the run folder then goes to `encoder build --network RUN`.

    A run that was interrupted goes on from its last checkpoint when the same command is given again, and ends with
    the same weights.

    docs/reference/training-file.md has every key of the job file.

    Example: lookalike train -c config/train-head.yaml --set corpus.shards=photos/ --set validation.shards=more/
    """
    from ..train.config import load_train_config

    job = load_train_config(config, set)
    from ..train.job import train as run
    from ..train.report import train_report

    summary = run(job, fresh)
    print(train_report(summary))
    if summary.damaged:
        raise typer.Exit(IN_PART)
