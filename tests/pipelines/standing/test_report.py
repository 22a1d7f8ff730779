"""The line of each standing query."""

from __future__ import annotations

from lookalike.standing.report import StandingSummary, standing_report

COUNTS = {"answered": 1999, "failed": 1, "matches": 9, "entered": 3000, "left": 2, "moved": 0}


def test_a_line_tells_of_queries_and_changes():
    summaries = [
        StandingSummary("a", "answered", "standing/a/x", COUNTS),
        StandingSummary("b", "unchanged", "standing/b/x", {**COUNTS, "entered": 0}),
        StandingSummary("c", "failed", error="No such file: c.txt"),
    ]
    assert list(standing_report(summaries)) == [
        "standing     a: 2,000 queries, 1 failed; 3,000 entered, 2 left, 0 moved",
        "standing     b: 2,000 queries, 1 failed; unchanged",
        "STANDING     c could not be answered: No such file: c.txt",
    ]
