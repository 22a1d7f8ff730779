"""What a nightly run would do."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.model.cores import cores
from lookalike.model.printable import printable_lines

from ..config.job import Config
from ..embedding.plan import make_plan
from ..store import exclusions
from ..store.generation import current_name, read_current
from ..store.generations import served_notes
from ..store.notes import stage_seconds


@dataclass(frozen=True)
class DryRun:
    """What a nightly run would do now.

    Attributes:
        unchanged, changed, new, removed: numbers of image shards.
        images: about how many images the new and changed shards hold, told from their size.
        indexes, rebuilt: numbers of index shards, in all and to be built: an upper bound.
        seconds: how long it would take, at the speed of the embedding files that are there; None if there are none.
    """

    unchanged: int
    changed: int
    new: int
    removed: int
    images: int
    indexes: int
    rebuilt: int
    seconds: float | None


def dry_run(config: Config) -> DryRun:
    """Looks what a nightly run would do, and changes nothing.

    Raises:
        LookalikeError: as `nightly`, for the corpus and the encoder.
    """
    from ..index.inputs import number_of
    from ..index.job import made_from
    from ..query.tuning_queries import tuning_queries
    from ..sources.base import shards_for

    plan = make_plan(config)
    served = read_current(config.store) if current_name(config.store) else None
    served_before = served_notes(config.store, served) if served else ()
    known = {note.shard: note.path for note in served_before}
    earlier = {note.shard: note for note in plan.stored}
    changed = [shard for shard in plan.missing if shard.name in earlier]
    new = [shard for shard in plan.missing if shard.name not in earlier]
    removed = known.keys() - {shard.name for shard in plan.shards}
    notes = list(earlier.values())
    size = sum(note.bytes for note in notes) / max(1, sum(note.read for note in notes))
    images = round(sum(shard.size for shard in plan.missing) / size) if size else 0
    work = sum(sum(stage_seconds([note]).values()) for note in notes if note.embedded and not note.reused)
    embedded = sum(note.embedded for note in notes if not note.reused)
    threads = config.embed.threads or cores()
    vectors = sum(note.embedded + note.reused for note in plan.notes) + images
    indexes = shards_for(vectors, config.index.shard_vectors)
    touched = {*(shard.name for shard in plan.missing), *removed}
    touched |= {note.shard for note in plan.notes if known.get(note.shard) != note.path}
    # Whether only shards changed: not the encoder, the settings or what is taken down.
    same = served is not None and len(served.indexes) == indexes
    if served is not None:
        excluded = exclusions.excluded_ids(config.store)
        asked = tuning_queries(config)
        known_as = made_from(config, served_before, plan.fingerprint, excluded, plan.augmentation, asked)
        same &= known_as == served.made_from
    rebuilt = len({number_of(shard, indexes) for shard in touched}) if same else indexes
    return DryRun(
        unchanged=len(plan.notes),
        changed=len(changed),
        new=len(new),
        removed=len(removed),
        images=images,
        indexes=indexes,
        rebuilt=rebuilt,
        seconds=images * work / embedded / threads if embedded else None,
    )


def dry_run_report(plan: DryRun) -> str:
    """What a nightly run would do."""
    lines = [
        f"shards       {plan.unchanged:,} unchanged, {plan.changed:,} changed, {plan.new:,} new, "
        f"{plan.removed:,} removed",
        f"images       about {plan.images:,} to read; only those that the store does not know meet the network",
        f"index        at most {plan.rebuilt:,} of {plan.indexes:,} shards to build",
    ]
    if plan.seconds is not None:
        minutes, seconds = divmod(round(plan.seconds), 60)
        lines.append(f"time         about {minutes}:{seconds:02} for embedding, if all images are new")
    return printable_lines(lines)
