"""The command `lookalike report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import LookalikeError

from .options import Overrides, expand, load_config


def report(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE", callback=expand, help="Folder that `query` or `duplicates` wrote to."
        ),
    ],
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
        typer.Option("--out", "-o", metavar="PAGE", callback=expand, help="Default: PLACE/report.html."),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Queries or groups on the page; the tables have all.")
    ] = 400,
    set: Overrides = None,
) -> None:
    """Make a page of answers, to look at: one HTML file with pictures.

    It opens from the disk in any browser, asks for nothing from a network, and can be sent to others as it is. It shows
    counts, how near the best matches are, the surest answers, the most doubtful, those with nothing near, then the
    others, what failed and why, and items that are found by many queries.

    Example: lookalike report answers/ --relevance directory
    """
    from ..pages.answers import AnswersOptions
    from ..pages.job import report as run
    from ..pages.job import report_text

    if set and config is None:
        raise LookalikeError("Expected --config with --set. Received: --set alone")
    job = load_config(config, set) if config else None
    print(report_text(run(place, job, page, AnswersOptions(queries, relevance, rows))))
