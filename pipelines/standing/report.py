"""What became of standing queries, in numbers and as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

KINDS = ("entered", "left", "moved")
"""What may become of an item among the answers to a query; see `changes`."""


@dataclass(frozen=True)
class StandingSummary:
    """What became of one standing query.

    Attributes:
        name: of it.
        outcome: `answered`, `unchanged` where the last answers are those of what is served, or `failed`.
        answers: folder of its last answers, relative to the store; None if there is none, or it failed.
        counts: queries `answered` and `failed`, and the `matches`, of the last answers; what `entered`, `left` and
            `moved`, which is nothing for those that are unchanged.
        error: the sentence of one that failed.
    """

    name: str
    outcome: str
    answers: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


def standing_report(summaries: Iterable[StandingSummary]) -> Iterator[str]:
    """A line for each standing query."""
    for one in summaries:
        if one.outcome == "failed":
            yield f"STANDING     {one.name} could not be answered: {one.error}"
            continue
        queries = (
            f"{one.counts['answered'] + one.counts['failed']:,} queries, {one.counts['failed']:,} failed"
        )
        changed = ", ".join(f"{one.counts[change]:,} {change}" for change in KINDS)
        told = changed if one.outcome == "answered" else "unchanged"
        yield f"standing     {one.name}: {queries}; {told}"
