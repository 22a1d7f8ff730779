"""What an embedding run did, in numbers and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lookalike.model.printable import printable_lines

from ..store.notes import COUNTS, EmbeddedShard, reasons_of, stage_seconds
from .plan import Plan

FEW = 5
"""Shards that are named; of the others only the number is told."""


@dataclass(frozen=True)
class EmbedSummary:
    """What an embedding run did.

    Attributes:
        plan: the corpus, of which every shard is finished or served as it was; what is neither is left out.
        embedded: notes of the shards finished by this run, in order.
        counts: records read, embedded, reused, rejected and duplicates of this run.
        seconds: wall-clock time of the pipelines.
        unfinished: name of each shard that is not as it was listed -> one sentence.
        late: names of the shards that arrived or changed after the corpus was listed.
    """

    plan: Plan
    embedded: Sequence[EmbeddedShard]
    counts: dict[str, int]
    seconds: float
    unfinished: Mapping[str, str] = field(default_factory=dict)
    late: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """Number of shards that were finished before."""
        return sum(shard.name not in self.unfinished for shard in self.plan.shards) - len(self.embedded)


def unfinished_lines(unfinished: Mapping[str, str], late: Sequence[str]) -> list[str]:
    """How many shards wait for the next run, with the first few of them."""
    lines = []
    if unfinished:
        lines.append(f"UNFINISHED   {len(unfinished):,} shards are left to the next run")
        lines += [f"UNFINISHED   {shard}: {sentence}" for shard, sentence in [*unfinished.items()][:FEW]]
    if late:
        more = ", ..." if len(late) > FEW else ""
        lines.append(
            f"late         {len(late):,} shards arrived or changed during the run: {', '.join(late[:FEW])}{more}"
        )
    return lines


def count_lines(counts: Mapping[str, int], notes: Sequence[EmbeddedShard]) -> list[str]:
    """The reconciled counts, and the reasons of what was rejected in `notes`."""
    parts = " + ".join(f"{counts[name]:,} {name.removesuffix('s')}" for name in COUNTS[1:])
    lines = [f"records      {counts['read']:,} read = {parts}"]
    if reasons := reasons_of(notes):
        lines.append("rejects      " + ", ".join(f"{n:,} at {stage}" for stage, n in reasons.most_common()))
    lines += [f"DAMAGED      {note.shard}: {note.damaged}" for note in notes if note.damaged]
    return lines


def embed_report(summary: EmbedSummary, folder: str) -> str:
    """The summary of an embedding run whose embedding files lie in `folder`."""
    embedded, wall = summary.embedded, summary.seconds
    lines = [f"shards       {len(embedded):,} embedded, {summary.skipped:,} finished before"]
    if embedded:
        stages = ", ".join(f"{stage} {value:,.1f}" for stage, value in stage_seconds(embedded).items())
        rate = summary.counts["embedded"] / max(wall, 1e-9)
        lines += count_lines(summary.counts, embedded)
        lines.append(f"seconds      {wall:,.1f} in all, {rate:,.0f} images/s; of work: {stages}")
    lines += unfinished_lines(summary.unfinished, summary.late)
    lines.append(f"embeddings   {folder}")
    if any(note.rejected or note.duplicates for note in embedded):
        lines.append(f"rejected     {folder}/rejects/")
    return printable_lines(lines)
