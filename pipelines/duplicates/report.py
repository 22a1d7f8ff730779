"""What a duplicates job found, in numbers, as text for people, and the threshold as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from lookalike.model.printable import printable_lines

from ..config.job import Config
from ..config.noted import noted
from .limiting import Others
from .results import Groups
from .threshold import Threshold


@dataclass(frozen=True)
class DuplicatesSummary:
    """What a duplicates job found.

    Attributes:
        generation: name of the generation that was looked through.
        against: name of the other one, where what is kept is; None without one.
        items: how many items are served.
        groups: the groups and their members.
        min_score: what scores had to be; None where pictures were compared.
        threshold: what was taken for a copy there; None otherwise.
        wished: precision that was asked for.
        not_compared: pairs of which a picture could not be read.
        pairs: pairs of near vectors that were looked at.
        table: path of the table.
        seconds: stage -> seconds.
        others: those that were not.
        unseen: about how many of these are copies.
    """

    generation: str
    against: str | None
    items: int
    groups: Groups
    min_score: float | None
    threshold: Threshold | None
    wished: float
    not_compared: int
    pairs: int
    table: str
    seconds: dict[str, float]
    others: Others = field(default_factory=Others)
    unseen: int = 0


def threshold_json(summary: DuplicatesSummary, config: Config, against: Config | None) -> bytes:
    """What decided what is a copy, and whose pictures they are, for `threshold.json`."""
    found = summary.threshold
    data = {
        "generation": summary.generation,
        "against": summary.against,
        "min_score": summary.min_score,
        "wished_precision": None if found is None else summary.wished,
        "min_correlation": found and found.correlation,
        "estimated_precision": found and found.precision,
        "recall": found and dict(found.recall),
        "pairs_not_looked_at": summary.others.pairs - summary.others.sampled,
        "copies_not_looked_at": summary.unseen,
        "job": noted(config),
        "against_job": against and noted(against),
    }
    return json.dumps(data, indent=1).encode() + b"\n"


def duplicates_report(summary: DuplicatesSummary) -> str:
    """The summary of a duplicates job."""
    members = summary.groups.members
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in members.items())
    lines = [
        f"generation   {summary.generation}, {summary.items:,} items",
        f"groups       {summary.groups.groups:,}; {sum(members.values()):,} items could go: {kinds}",
    ]
    if summary.against:
        lines.insert(1, f"against      {summary.against}, of which all that is kept is")
    if summary.min_score is not None:
        lines.append(f"threshold    score {summary.min_score:g}; pictures were not looked at")
    if found := summary.threshold:
        precision = "unknown" if found.precision is None else f"{found.precision:.3f}"
        recall = ", ".join(f"{share:.3f} {kind}" for kind, share in found.recall.items())
        lines.append(
            f"threshold    correlation {found.correlation:.4f} of {summary.pairs:,} pairs; precision {precision}"
        )
        lines.append(f"recall       of made copies: {recall}")
        if (others := summary.others).pairs:
            lines.append(
                f"not seen     {others.pairs:,} pairs are less near than those: a look at {others.sampled:,} of them "
                f"tells of some {summary.unseen:,} copies more (duplicates.pairs)"
            )
        if found.precision is not None and found.precision < summary.wished:
            lines.append(
                f"NOTICE       no threshold was found for a precision of {summary.wished:g}: look at the groups first"
            )
    if summary.not_compared:
        lines.append(
            f"NOTICE       {summary.not_compared:,} pairs not compared: pictures are gone, changed or unreadable"
        )
    lines.append(
        "seconds      " + ", ".join(f"{stage} {value:,.1f}" for stage, value in summary.seconds.items())
    )
    lines.append(f"duplicates   {summary.table}")
    return printable_lines(lines)
