"""What a run must pass before it is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from model.errors import GateError
from pipelines.config import Gates
from pipelines.embeddings import COUNTS, EmbeddedShard
from pipelines.store import Generation


def check_gates(
    gates: Gates, notes: Sequence[EmbeddedShard], counts: Mapping[str, int], previous: Generation | None
) -> None:
    """Checks a run's counts against the configured limits.

    Args:
        gates: the limits.
        notes: every shard of the corpus.
        counts: their counts added up, and `items`: what would be served.
        previous: the generation that is served now.

    Raises:
        GateError: naming every gate that failed, what was found and what is allowed.
    """
    failed = list(_failures(gates, notes, counts, previous))
    if failed:
        raise GateError("nothing was published: " + "; ".join(failed))


def _failures(
    gates: Gates, notes: Sequence[EmbeddedShard], counts: Mapping[str, int], previous: Generation | None
) -> Iterator[str]:
    for note in notes:
        if note.read != sum(getattr(note, name) for name in COUNTS[1:]):
            yield f"the counts of {note.shard} do not add up"
        if note.damaged and not gates.allow_damaged_shards:
            yield f"damaged shard {note.shard}: {note.damaged} (gates.allow_damaged_shards)"
    if not counts["items"]:
        yield "no image could be embedded"
    rejected = counts["rejected"] / max(1, counts["read"])
    if rejected > gates.max_reject_fraction:
        yield (
            f"{counts['rejected']:,} of {counts['read']:,} records were rejected ({rejected:.1%}); "
            f"gates.max_reject_fraction allows {gates.max_reject_fraction:.1%}"
        )
    if previous and counts["items"] < previous.counts["items"] * (1 - gates.max_shrink_fraction):
        yield (
            f"the corpus shrank from {previous.counts['items']:,} to {counts['items']:,} items; "
            f"gates.max_shrink_fraction allows {gates.max_shrink_fraction:.1%}"
        )
