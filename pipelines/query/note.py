"""How answers were made, in a file beside their two tables, so that who finds them can look at them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..config.noted import from_note, noted
from ..filesystem import files
from ..filesystem.paths import anchored
from .report import QuerySummary

NOTE = "query.json"
FORMAT = 1


@dataclass(frozen=True)
class QueryNote:
    """How answers were made.

    Attributes:
        queries: path of the queries.
        generation: name of the generation that answered.
        counts: `answered`, `failed`, `matches`.
        config: the job, as far as it tells where pictures are.
    """

    queries: str
    generation: str
    counts: Mapping[str, int]
    config: Config


_NOTE = pydantic.TypeAdapter(QueryNote)


def write_note(out: str, config: Config, queries: str, summary: QuerySummary) -> None:
    """Writes the note, with paths that do not depend on where the command was run. Raises OSError."""
    data = {
        "format": FORMAT,
        "queries": anchored(queries),
        "generation": summary.generation,
        "counts": {
            "answered": summary.answered,
            "failed": summary.failed,
            "matches": summary.matches,
        },
        "job": noted(config),
    }
    files.write_bytes(note_path(out), json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n")


def read_note(out: str) -> QueryNote | None:
    """The note of answers; None where there is none.

    Raises:
        LookalikeError: if it is not one.
        OSError: if it cannot be read.
    """
    path = note_path(out)
    if not files.exists(path):
        return None
    try:
        data: dict[str, Any] = json.loads(files.read_bytes(path))
        told = {name: data[name] for name in ("queries", "generation", "counts")}
        return _NOTE.validate_python({**told, "config": from_note(data["job"])})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise LookalikeError(
            f"Expected in {path} what `lookalike query` writes there. Received: {reason}. Delete it, and name the job "
            "file by -c"
        ) from None


def note_path(out: str) -> str:
    """Where the note of a folder of answers is."""
    return files.join(out, NOTE)
