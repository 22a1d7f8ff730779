"""The command `lookalike duplicates`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import LookalikeError

from ..query.tables import FORMAT_HELP, Format
from .options import ConfigFile, Overrides, beam_flags, expand, load_config


def duplicates(
    ctx: typer.Context,
    config: ConfigFile,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="OUT", callback=expand, help="Folder for the table.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER_JOB_FILE",
            callback=expand,
            help="Another job: find what of this one it has already. All that is kept is the other one's.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Kept of each group: largest, oldest, first, field:NAME[:min|:max]. Default: duplicates.keep.",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Wished share of right ones. Default: duplicates.precision."),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Judge by this score alone, without a look at pictures. Default: duplicates.min_score."
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help=FORMAT_HELP)] = "parquet",
    set: Overrides = None,
) -> None:
    """Find equal and near-equal pictures: OUT/duplicates (group, item_id, keep, kind, score and more).

    Each member of a group is a copy of the one that is kept. What a near copy is, the job learns from copies that it
    makes itself of some of the pictures, and tells it in OUT/threshold.json. Beam's flags go behind `--`; the table is
    the same.

    Example: lookalike duplicates -c config/nightly.yaml -o duplicates/ --keep field:sales:max --format csv
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    from ..duplicates.job import DuplicatesOptions
    from ..duplicates.job import duplicates as run
    from ..duplicates.report import duplicates_report

    if precision is not None and min_score is not None:
        raise LookalikeError("Expected --precision or --min-score. Received: both")
    settings = job.duplicates
    options = DuplicatesOptions(
        keep=keep or settings.keep,
        precision=settings.precision if precision is None else precision,
        min_score=None if precision is not None else settings.min_score if min_score is None else min_score,
        sample=settings.sample,
        pairs=settings.pairs,
        table_format=format,
    )
    other = load_config(against) if against else None
    print(duplicates_report(run(job, out, options, other, flags)))
