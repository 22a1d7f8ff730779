"""The report job: finds out what a place holds, and makes the page of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import printable_lines

from ..config.job import Config
from ..filesystem import files
from ..nightly.report import reports_folder
from .answers import AnswersOptions, answers_page
from .duplicates import duplicates_page
from .evaluation import evaluation_page
from .night import night_page
from .page import write_page

PAGE = "report.html"


@dataclass(frozen=True)
class ReportSummary:
    """A page that was made: its path, its size in bytes, and what is in it."""

    page: str
    size: int
    told: Mapping[str, str]


def report(place: str, config: Config | None, page: str | None, options: AnswersOptions) -> ReportSummary:
    """Makes the page of what a place holds.

    Args:
        place: a folder of answers, of duplicates or of an evaluation, or a store.
        config: the job; None for what is noted there.
        page: path of the page; None for `report.html` in the place, or among the reports of a store.
        options: of a page of answers; the others take what they have of it, too.

    Raises:
        LookalikeError: if the place holds nothing that there is a page of, or for what else the user can mend.
        OSError: if something cannot be read, or the page not be written.
    """
    beside = page or files.join(place, PAGE)
    made = (
        answers_page(place, beside, config, options)
        or duplicates_page(place, beside, config, options.rows)
        or evaluation_page(place, beside, config, options.queries, options.rows)
    )
    if made is None:
        beside = page or files.join(reports_folder(place), PAGE)
        made = night_page(place, config)
    if made is None:
        raise LookalikeError(
            "Expected a folder that `lookalike query`, `duplicates` or `evaluate` wrote to, or a store with the report "
            f"of a night. Received: {place}"
        )
    write_page(beside, made.html)
    return ReportSummary(beside, len(made.html.encode()), made.told)


def report_text(summary: ReportSummary) -> str:
    """The summary for people."""
    lines = [f"{name:12} {value}" for name, value in summary.told.items()]
    return printable_lines([*lines, f"{'page':12} {summary.page} ({summary.size / 1e6:.1f} MB)"])
