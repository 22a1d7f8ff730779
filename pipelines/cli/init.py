"""The command `lookalike init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from ..filesystem import files
from .options import expand


def init(
    images: Annotated[
        str,
        typer.Argument(
            metavar="IMAGES", callback=expand, help="Folder of images, or shards: a folder, a glob."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", callback=expand, help="The job file to write.")
    ] = Path("lookalike.yaml"),
    encoder: Annotated[
        str, typer.Option(metavar="FOLDER", callback=expand, help="Where the encoder is, or will be.")
    ] = "encoders/lite0",
    store: Annotated[
        str, typer.Option(metavar="FOLDER", callback=expand, help="Where the store is, or will be.")
    ] = "store",
) -> None:
    """Write an annotated job file for a catalogue, and tell what to type next.

    Every key that is used often is in it, with its default or as a comment. A file that is there is not replaced.

    Example: lookalike init photos/ -o shop.yaml
    """
    from ..config.examples import filled_in
    from ..sources import SourceOptions, find_shards
    from ..sources.folder import check_outside

    if out.exists():
        raise LookalikeError(f"Expected a new file. Received: {out}, which is there; nothing was changed")
    shards = find_shards(images, SourceOptions())
    check_outside(shards, "--store", store)
    check_outside(shards, "--encoder", encoder)
    files.write_bytes(str(out), filled_in(images, encoder, store, str(out)).encode())
    name = shlex.quote(str(out))
    say(
        f"wrote        {out}",
        f"next         lookalike encoder build {shlex.quote(encoder)} --sample {shlex.quote(images)}",
        f"             lookalike nightly -c {name}",
        f"             lookalike query -c {name} QUERIES -o answers/",
    )
