"""What a query job did, in numbers and as text for people."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.model.encoder.post_processing import PostProcessing
from lookalike.model.printable import printable_lines

NO_MATCH = "match"
"""Stage of a query of which no item meets the conditions."""


@dataclass(frozen=True)
class QuerySummary:
    """What a query job did.

    Attributes:
        generation: name of the generation that answered.
        steps: what was done around the search, and to the index.
        answered, failed: numbers of queries; each is in one of the two tables.
        reasons: stage of failure -> number of queries.
        matches: rows of the result table.
        results, failures: paths of the tables.
        seconds: stage (open, encode, search, write) -> seconds; where the index was opened once, those that the search
            waited for queries that were being read, and for rows that were being written.
        why: queries failed, the commonest reasons first; see `FailureKinds.line`.
    """

    generation: str
    steps: PostProcessing
    answered: int
    failed: int
    reasons: dict[str, int]
    matches: int
    results: str
    failures: str
    seconds: dict[str, float]
    why: str = ""

    def __str__(self) -> str:
        return query_report(self)

    @property
    def searched(self) -> int:
        """Queries that were searched for, whether or not an item meets the conditions."""
        return self.answered + self.reasons.get(NO_MATCH, 0)


def query_report(summary: QuerySummary) -> str:
    """The summary of a query job."""
    total = summary.answered + summary.failed
    lines = [
        f"queries      {total:,} read = {summary.answered:,} answered + {summary.failed:,} failed",
        f"generation   {summary.generation}",
    ]
    if summary.steps.any:
        lines.append(f"steps        {summary.steps}")
    if summary.why:
        lines.append(f"failed       {summary.why}")
    seconds = ", ".join(f"{stage} {value:,.2f}" for stage, value in summary.seconds.items())
    lines.append(f"seconds      {seconds}")
    lines.append(f"results      {summary.results} ({summary.matches:,} rows)")
    lines.append(f"failures     {summary.failures}")
    return printable_lines(lines)
