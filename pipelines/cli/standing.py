"""The command that answers standing queries without a night: `lookalike standing`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from .options import IN_PART, ConfigFile, Overrides, beam_flags, load_config

if TYPE_CHECKING:
    from ..standing.report import StandingSummary


def standing(
    ctx: typer.Context,
    config: ConfigFile,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    set: Overrides = None,
) -> None:
    """Answer the standing queries of the job file, as a night does: after a rollback or a takedown, say.

    STORE/standing/NAME/latest.json names the folder with the answers and, in changes.parquet, what changed since the
    answers before: query_id, item_id, change (entered, left, moved), rank and score before and after. Where nothing
    changed that decides the answers, nothing is written. Exits with 3 if one could not be answered. Beam's flags go
    behind `--`.

    Example: lookalike standing -c config/nightly.yaml --name new-arrivals
    """
    flags = beam_flags(ctx)
    job = load_config(config, set)
    known = [one.name for one in job.standing]
    for asked in name or known or [""]:
        if asked not in known:
            near = difflib.get_close_matches(asked, known, n=1)
            received = (
                "no key `standing`" if not known else f"{asked}; did you mean {near[0]}?" if near else asked
            )
            raise LookalikeError(f"Expected a standing query of {config}. Received: {received}")
    from ..standing.job import answer_standing
    from ..store.generation import read_current
    from ..store.leftovers import writing

    read_current(job.store)  # before a store is made where none is
    with writing(job, "standing"):
        summaries = list(answer_standing(job, flags, name or None))
    if as_json:
        print(json.dumps([asdict(one) for one in summaries], indent=1))
    else:
        print_standing(summaries)
    exit_if_unanswered(summaries)


def print_standing(summaries: Sequence[StandingSummary]) -> None:
    """Prints a line for each standing query."""
    from ..standing.report import standing_report

    say(*standing_report(summaries))


def exit_if_unanswered(summaries: Sequence[StandingSummary]) -> None:
    """Ends with `IN_PART` if one could not be answered."""
    if any(one.outcome == "failed" for one in summaries):
        raise typer.Exit(IN_PART)
