"""The command `lookalike explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.model.printable import say

from .options import ConfigFile, Overrides, expand, load_config


def explain(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY", callback=expand, help="A picture or, where there is no such file, an item's id."
        ),
    ],
    match: Annotated[
        str, typer.Argument(metavar="MATCH", callback=expand, help="The same: an item's id, or a picture.")
    ],
    config: ConfigFile,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            callback=expand,
            help="Picture to write, .png or .jpg; numbers beside it.",
        ),
    ] = "explained.png",
    pairs: Annotated[int, typer.Option(min=0, help="Pairs of places that are joined by lines.")] = 6,
    set: Overrides = None,
) -> None:
    """Show why two pictures have their score: which places of each agree, as a map over both, and as lines.

    The shares of all places add up to the score, but for networks that are not linear behind their pooling, whose
    places are covered in turn; the output says which. docs/recipes/explain.md tells how to read it.

    Example: lookalike explain -c config/nightly.yaml photo.jpg dress/0001.jpg -o why.png
    """
    job = load_config(config, set)
    from ..explain.job import explain as run
    from ..explain.job import explain_report

    say(*explain_report(run(job, query, match, out, pairs)))
