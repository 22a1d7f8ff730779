"""The command `lookalike export`."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.model.printable import say

from ..export.writers import Format
from .options import ConfigFile, Overrides, expand, load_config


def export(
    config: ConfigFile,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="OUT", callback=expand, help="Folder or URL; an export in it is replaced."
        ),
    ],
    format: Annotated[
        Format,
        typer.Option(
            help="parquet: item_id, embedding, metadata, in parts; npy: vectors.npy and ids.parquet; fvecs: the same "
            "for FAISS."
        ),
    ] = "parquet",
    generation: Annotated[
        str | None, typer.Option(metavar="NAME", help="A generation. Default: the one that is served.")
    ] = None,
    set: Overrides = None,
) -> None:
    """Write what is served for other programs: every item once, with its vector and metadata.

    The vectors are those of the index, so they are rounded where index.bytes says so. Items that were taken down, or
    are no longer in the corpus, are not among them. Where OUT/_export.json is, the export is whole.

    Example: lookalike export -c config/nightly.yaml -o vectors/ --format npy
    """
    from ..export.job import export as run
    from ..export.job import export_report

    say(*export_report(run(load_config(config, set), out, format, generation)))
