"""What a run must pass before it is published."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lookalike.model.errors import GateError, LookalikeError

from ..config.job import Config
from ..store.generation import Generation, IndexRef
from ..store.notes import AGAIN, EmbeddedShard, adds_up, note_path

EXIT_CODES = {
    "counts": 10,
    "allow_damaged_shards": 11,
    "max_reject_fraction": 12,
    "no_items": 13,
    "duplicate_ids": 14,
    "max_shrink_fraction": 15,
    "digests": 16,
    "min_recall": 17,
    "min_top10_overlap": 18,
}
"""Gate -> exit code of a run that it stops. Of several the lowest counts: causes come before what they cause."""

MOST_NAMED = 20
"""What a gate names of what it found."""


def check_counts(
    config: Config, notes: Sequence[EmbeddedShard], counts: Mapping[str, int], previous: Generation | None
) -> None:
    """Checks a run's counts against the configured limits, before anything is built.

    Args:
        config: the limits.
        notes: every shard of the corpus.
        counts: their counts added up, `items`: what would be served, `between_shards`: records whose id an
            earlier shard has.
        previous: the generation that is served now.

    Raises:
        GateError: naming every gate that failed, what was found and what is allowed.
    """
    _raise_any(_failed_counts(config, notes, counts, previous))


def check_index(config: Config, indexes: Sequence[IndexRef], overlap: float | None) -> None:
    """Checks what was built, before it is published.

    Args:
        config: the limits.
        indexes: every index shard.
        overlap: fraction of a sample's top 10 that is as in the last generation; None without one.

    Raises:
        GateError: as `check_counts`.
    """
    _raise_any(_failed_index(config, indexes, overlap))


def check_damage(damaged: Iterable[str]) -> None:
    """Refuses files of image shards that differ from their digests. Raises GateError, naming the first of them."""
    _raise_any(("digests", f"{path} is damaged") for path in damaged)


@contextlib.contextmanager
def checking_digests() -> Iterator[None]:
    """Makes damage to what was built, found in the block, a failed gate. Raises GateError."""
    try:
        yield
    except LookalikeError as error:
        _raise_any([("digests", str(error))])


def _raise_any(failures: Iterable[tuple[str, str]]) -> None:
    """Raises GateError for pairs of a gate and what it found, if there are any."""
    counts: Counter[str] = Counter()
    found: list[str] = []
    for gate, sentence in failures:
        counts[gate] += 1
        if counts[gate] <= MOST_NAMED:
            found.append(sentence)
    if counts:
        gates = tuple(sorted(counts, key=EXIT_CODES.__getitem__))
        found += [
            f"{gate}: {counts[gate] - MOST_NAMED:,} more" for gate in gates if counts[gate] > MOST_NAMED
        ]
        raise GateError(f"nothing was published: {'; '.join(found)}", gates, EXIT_CODES[gates[0]])


def _failed_index(
    config: Config, indexes: Sequence[IndexRef], overlap: float | None
) -> Iterator[tuple[str, str]]:
    least = config.gates.min_recall
    if least is None:
        least = config.index.recall_target
    for ref in indexes:
        if ref.recall is not None and ref.recall < least:
            yield (
                "min_recall",
                f"index shard {ref.path} reaches a recall of {ref.recall:.4f}; "
                f"gates.min_recall asks for {least:.4f}",
            )
    wanted = config.gates.min_top10_overlap
    if wanted is not None and overlap is not None and overlap < wanted:
        yield (
            "min_top10_overlap",
            f"only {overlap:.1%} of a sample's top 10 are as in the last generation; "
            f"gates.min_top10_overlap asks for {wanted:.1%}",
        )


def _failed_counts(
    config: Config, notes: Sequence[EmbeddedShard], counts: Mapping[str, int], previous: Generation | None
) -> Iterator[tuple[str, str]]:
    gates = config.gates
    for note in notes:
        if not adds_up(note):
            yield "counts", f"the counts of {note.shard} do not add up in {note_path(note.path)}; {AGAIN}"
        if note.damaged and not gates.allow_damaged_shards:
            damage = f"damaged shard {note.shard}: {note.damaged} (gates.allow_damaged_shards)"
            yield "allow_damaged_shards", damage
    if not counts["items"]:
        yield "no_items", "no image could be embedded"
    if counts["between_shards"] and config.corpus.duplicate_ids == "error":
        repeated = (
            f"{counts['between_shards']:,} records have an id of an earlier shard (corpus.duplicate_ids)"
        )
        yield "duplicate_ids", repeated
    rejected = counts["rejected"] / max(1, counts["read"])
    if rejected > gates.max_reject_fraction:
        yield (
            "max_reject_fraction",
            f"{counts['rejected']:,} of {counts['read']:,} records were rejected ({rejected:.1%}); "
            f"gates.max_reject_fraction allows {gates.max_reject_fraction:.1%}",
        )
    if previous and counts["items"] < previous.counts["items"] * (1 - gates.max_shrink_fraction):
        yield (
            "max_shrink_fraction",
            f"the corpus shrank from {previous.counts['items']:,} to {counts['items']:,} items; "
            f"gates.max_shrink_fraction allows {gates.max_shrink_fraction:.1%}",
        )
