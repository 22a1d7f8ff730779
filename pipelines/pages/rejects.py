"""What the catalogue holds that could not be embedded, by reason and with examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..store.generation import Generation
from ..store.generations import served_notes
from ..store.notes import read_rejects
from .overview import EXAMPLES, Reason

SHARDS = 50
"""Image shards whose rejects are read for reasons; the counts are those of all."""
_NUMBER = re.compile(r"\d[\d,]*")


@dataclass(frozen=True)
class Rejects:
    """What could not be embedded.

    Attributes:
        count: records, in all.
        read: records whose reasons are told, those of the first shards that have any.
        reasons: why, the most frequent first; numbers in a sentence are those of the first example.
    """

    count: int
    read: int
    reasons: tuple[Reason, ...]


def look_at_rejects(store: str, generation: Generation) -> Rejects:
    """Reads the rejects of the first image shards of a generation that have any.

    Raises:
        LookalikeError: if what a generation names is damaged.
        OSError: if it cannot be read.
    """
    notes = served_notes(store, generation)
    some = [note for note in notes if note.rejected or note.duplicates][:SHARDS]
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    examples: dict[tuple[str, str], list[str]] = {}
    for row in read_rejects(store, some):
        kind = kind_of(row)
        counts[kind] += 1
        first.setdefault(kind, row["error"])
        kept = examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(row["item_id"] or f"{row['shard']}, position {row['position']}")
    order = sorted(counts, key=lambda kind: (-counts[kind], kind))
    reasons = tuple(Reason(kind[0], first[kind], counts[kind], tuple(examples[kind])) for kind in order)
    return Rejects(generation.counts.get("rejected", 0), counts.total(), reasons)


def kind_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """What rejects for the same reason have in common: the stage, and the sentence but for its numbers."""
    return row["stage"], _NUMBER.sub("#", row["error"])
