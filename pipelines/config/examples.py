"""The annotated job files that come with the package: of the folder `config/`, in a wheel `lookalike/job_files`."""

from __future__ import annotations

import shlex
from pathlib import Path

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable

from ..filesystem.paths import written
from .yaml_text import yaml_text

_ROOM = Path(__file__).resolve().parent
_PLACES = (_ROOM.parent / "job_files", _ROOM.parent.parent / "config")
"""In a wheel, and in a clone."""
_WIDE = 10_000


def example(name: str) -> Path:
    """The file of a job file such as `nightly.yaml`. Raises LookalikeError if the package came without."""
    for place in _PLACES:
        if (place / name).is_file():
            return place / name
    raise LookalikeError(f"Expected the job file {name} with the package. Received: none in {_PLACES[0]}")


def filled_in(images: str, encoder: str, store: str, name: str) -> str:
    """The text of `nightly.yaml` with paths filled in, its comments as they are.

    Args:
        images: where images or shards are.
        encoder, store: folders.
        name: of the file that will hold it, for the commands in its comments.
    """
    text = example("nightly.yaml").read_text(encoding="utf-8")
    text = text.replace("config/nightly.yaml", printable(shlex.quote(name)))
    build = f"lookalike encoder build {shlex.quote(encoder)} --sample {shlex.quote(images)}"
    values = {
        "  shards": (images, "a folder, a glob, a brace list, a file of paths, or a list of these"),
        "encoder": (encoder, build),
        "store": (store, "embeddings, indexes and generations; the file CURRENT names what is served"),
    }
    lines = text.splitlines()
    for key, (value, comment) in values.items():
        (place,) = (number for number, line in enumerate(lines) if line.startswith(f"{key}:"))
        lines[place] = f"{key}: {_one_line(written(value))}".ljust(30) + f" # {printable(comment)}"
    return "\n".join([*lines, ""])


def _one_line(value: str) -> str:
    style = '"' if "\n" in value else None
    return yaml_text(value, width=_WIDE, default_style=style).splitlines()[0]
