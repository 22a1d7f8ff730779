"""The command `lookalike report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import LookalikeError

from .options import Overrides, expand, load_config


def report(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE",
            callback=expand,
            help="Folder of `query`, `duplicates` or `evaluate`, or a store. Default: that of -c.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            callback=expand,
            help="The job file. Default: the job noted in PLACE.",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="QUERIES", callback=expand, help="Where the queries are now, if they were moved."
        ),
    ] = None,
    relevance: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD|FILE",
            callback=expand,
            help="As for `evaluate`: frames tell which matches are relevant.",
        ),
    ] = None,
    page: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="PAGE", callback=expand, help="Default: report.html in PLACE."),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Queries or groups on the page; the tables have all.")
    ] = 400,
    explain: Annotated[
        int, typer.Option(min=0, max=50, help="Of so many answers, show why the first match is one.")
    ] = 0,
    set: Overrides = None,
) -> None:
    """Make a page to look at: one HTML file with pictures, of answers, duplicates, an evaluation or a night.

    It opens from the disk in any browser, asks for nothing from a network, and can be sent to others as it is. Of
    answers it shows counts, how near the best matches are, the surest answers, the most doubtful, those with nothing
    near, then the others, what failed and why, and items that are found by many queries.

    Of duplicates it shows each group with what is kept; of an evaluation what one encoder finds and another does not;
    of the last night of a store what was rejected, the state of the catalogue and the nights before, with -c with
    their pictures.

    Example: lookalike report answers/ --relevance directory

    Example: lookalike report -c config/nightly.yaml
    """
    from ..pages.answers import AnswersOptions
    from ..pages.job import report as run
    from ..pages.job import report_text

    if set and config is None:
        raise LookalikeError("Expected --config with --set. Received: --set alone")
    job = load_config(config, set) if config else None
    place = place or (job.store if job else None)
    if place is None:
        raise LookalikeError("Expected PLACE, or --config with a store. Received: neither")
    print(report_text(run(place, job, page, AnswersOptions(queries, relevance, rows, explain))))
