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
from .estimate import Estimate, Work, estimate, estimate_lines
from .rates import rates


@dataclass(frozen=True)
class DryRun:
    """What a nightly run would do now.

    Attributes:
        unchanged, changed, new, removed: numbers of image shards.
        images: about how many images the new and changed shards hold, told from their size.
        indexes, rebuilt: numbers of index shards, in all and to be built: an upper bound.
        estimate: what that takes; None if nothing is known of an image.
    """

    unchanged: int
    changed: int
    new: int
    removed: int
    images: int
    indexes: int
    rebuilt: int
    estimate: Estimate | None


def dry_run(config: Config) -> DryRun:
    """Looks what a nightly run would do, and changes nothing. On an empty store some images are embedded for it.

    Raises:
        LookalikeError: as `nightly`, for the corpus and the encoder.
        OSError: if a file system fails.
    """
    from ..index.inputs import number_of
    from ..index.job import made_from
    from ..query.tuning_queries import tuning_queries
    from ..sources.base import shards_for

    plan = make_plan(config)
    served = read_current(config.store) if current_name(config.store) else None
    served_before = served_notes(config.store, served) if served else ()
    known = {note.shard: note.path for note in served_before}
    earlier = {note.shard for note in plan.stored}
    missing = plan.missing
    changed = sum(shard.name in earlier for shard in missing)
    removed = known.keys() - {shard.name for shard in plan.shards}
    of_one = rates(config, plan)
    images = round(sum(shard.size for shard in missing) / of_one.bytes) if of_one else 0
    vectors = sum(note.embedded + note.reused for note in plan.notes) + images
    indexes = shards_for(vectors, config.index.shard_vectors)
    touched = {*(shard.name for shard in missing), *removed}
    touched |= {note.shard for note in plan.notes if known.get(note.shard) != note.path}
    # Whether only shards changed: not the encoder, the settings or what is taken down.
    same = served is not None and len(served.index_shards) == indexes
    if served is not None:
        excluded = exclusions.excluded_ids(config.store)
        asked = tuning_queries(config)
        known_as = made_from(config, served_before, plan.fingerprint, excluded, plan.augmentation, asked)
        same &= known_as == served.made_from
    rebuilt = len({number_of(shard, indexes) for shard in touched}) if same else indexes
    work = Work(len(missing), images, len(plan.notes), vectors, indexes, rebuilt, plan.dim)
    return DryRun(
        unchanged=len(plan.notes),
        changed=changed,
        new=len(missing) - changed,
        removed=len(removed),
        images=images,
        indexes=indexes,
        rebuilt=rebuilt,
        estimate=estimate(config, work, of_one, config.embed.threads or cores()) if of_one else None,
    )


def dry_run_report(plan: DryRun) -> str:
    """What a nightly run would do."""
    lines = [
        f"shards       {plan.unchanged:,} unchanged, {plan.changed:,} changed, {plan.new:,} new, "
        f"{plan.removed:,} removed",
        f"images       about {plan.images:,} to read; only those that the store does not know meet the network",
        f"index        at most {plan.rebuilt:,} of {plan.indexes:,} shards to build",
    ]
    if plan.estimate:
        lines += estimate_lines(plan.estimate)
    return printable_lines(lines)
