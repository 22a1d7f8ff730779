"""The indexing job: embedding files to index shards, on Beam, checked and published as a generation."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TypeVar

import pyarrow as pa

from lookalike.model.digests import LongListDigest, sha256_json
from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError
from lookalike.model.memory import memory

from ..config.job import Config
from ..embedding.plan import Plan
from ..filesystem import files
from ..runner import progress
from ..sources.base import shards_for
from ..sources.fields import escape
from ..store import exclusions, generations, kept
from ..store.generation import (
    FORMAT,
    Generation,
    IndexRef,
    current_name,
    generation_folder,
    generation_name,
    publish,
    read_current,
    write_shards,
)
from ..store.notes import EmbeddedShard, totals
from .build import decided_by, is_whole, make_tasks, tuned_by
from .carried import check_carried, check_id_field
from .checks import Checks, find_left_out, keep, read_ids
from .drift import Drift
from .duplicates import left_out, write_duplicates
from .gates import check_counts, check_damage, check_index, checking_digests
from .health import Health
from .inputs import write_inputs
from .making import make_indexes
from .opening import kept_open
from .report import IndexSummary
from .sizing import check_sizes
from .tuning import AskedQueries

logger = logging.getLogger(__name__)
T = TypeVar("T")


def index(
    config: Config,
    plan: Plan,
    flags: Sequence[str] = (),
    still_mine: Callable[[], None] = lambda: None,
    asked: AskedQueries | None = None,
) -> IndexSummary:
    """Builds the index shards that are missing, checks the whole, and publishes it as a generation.

    Args:
        config: the job.
        plan: the corpus, every shard embedded.
        flags: Beam's flags.
        still_mine: raises if the lock on the store was lost; asked before publication.
        asked: queries to tune with, besides those that the index itself gives rise to.

    Raises:
        LookalikeError: if shards are not embedded, a file is damaged, or no record has a field that is to be carried.
        GateError: if a gate fails; nothing is published.
    """
    if plan.missing:
        names = ", ".join(escape(shard.place) for shard in plan.missing[:3])
        raise LookalikeError(
            f"{len(plan.missing)} of {len(plan.shards)} shards are not embedded ({names}, ...): "
            f"run `lookalike embed` first, or `lookalike nightly`"
        )
    previous = read_current(config.store) if current_name(config.store) else None
    excluded = exclusions.excluded_ids(config.store)
    content = made_from(config, plan.notes, plan.fingerprint, excluded, plan.augmentation, asked)
    if (
        previous
        and previous.made_from == content
        and all(is_whole(config.store, ref.path, ref.manifest_sha256) for ref in previous.indexes)
    ):
        check_counts(config, plan.notes, {**previous.counts, "between_shards": previous.duplicates}, previous)
        return IndexSummary(previous, False, 0, 0.0, None)
    notes = plan.notes
    counts = dict(totals(notes))
    vectors = counts["embedded"] + counts["reused"]
    shards = shards_for(vectors, config.index.shard_vectors)
    if limit := _worker_memory(config, flags):
        check_sizes(notes, shards, plan.dim, limit, bool(plan.augmentation))
    with _run_folder(config.store) as run_folder:
        checks = Checks(
            store=config.store,
            encoder=plan.fingerprint,
            run_folder=run_folder,
            vectors=vectors,
            again=config.gates.digests == "all",
            flags=flags,
        )
        read = read_ids(checks, notes, plan.stored)
        check_damage(read.damaged)
        left_out_folder = find_left_out(checks, read, excluded)
        inputs = write_inputs(
            files.join(run_folder, "inputs.arrow"),
            notes,
            left_out(left_out_folder),
            shards,
            decided_by(config, plan, asked),
        )
        counts["items"] = sum(inputs.vectors)
        if not counts["items"]:
            check_id_field(config, plan.shards)
        check_counts(config, notes, {**counts, "between_shards": inputs.duplicates}, previous)
        check_carried(config, plan.shards, read.carried)
        tasks = make_tasks(config, plan, inputs, run_folder, asked)
        tune = (lambda: asked.load(plan)) if asked else None
        with kept_open():
            made = make_indexes(config, tasks, previous, tune, flags)
            overlap, health = _asked_a_sample(config, previous, made.indexes, run_folder, flags)
        check_index(config, made.indexes, overlap)
        now = datetime.now(timezone.utc)
        name = generation_name(now, content, max(generations.names(config.store), default=None))
        generation = Generation(
            format=FORMAT,
            name=name,
            created=now.isoformat(timespec="seconds"),
            encoder=plan.fingerprint,
            encoder_name=plan.encoder_name,
            dim=plan.dim,
            metric=config.metric,
            metadata=dict(config.corpus.metadata),
            counts=counts,
            shards=write_shards(config.store, name, notes),
            duplicates=inputs.duplicates,
            indexes=made.indexes,
            previous=previous.name if previous else None,
            excluded=inputs.taken_down,
            made_from=content,
            augmentation=plan.augmentation,
        )
        folder = generation_folder(config.store, generation.name)
        write_duplicates(files.join(folder, "duplicates.parquet"), left_out(left_out_folder), notes)
        rows = keep(checks, read)
    still_mine()
    kept.replace_rows(config.store, plan.fingerprint, rows)
    publish(config.store, generation)
    return IndexSummary(generation, True, made.built, made.seconds, overlap, made.grown, health)


def _worker_memory(config: Config, flags: Sequence[str]) -> int | None:
    """Bytes that a worker has; None if that is not known, since it is elsewhere."""
    return config.index.worker_memory or (None if flags else memory())


@contextlib.contextmanager
def _run_folder(store: str) -> Iterator[str]:
    """Gives a folder for what workers read and write in a run, which is deleted behind the block."""
    folder = files.join(progress.runs_folder(store), uuid.uuid4().hex)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            files.delete([folder])


def made_from(
    config: Config,
    notes: Iterable[EmbeddedShard],
    encoder: str,
    excluded: pa.Array,
    augmentation: DatabaseAugmentation | None,
    asked: AskedQueries | None = None,
) -> str:
    """A digest of all that decides what is served; making it costs by the shard, not by the image."""
    others = {
        "encoder": encoder,
        "metric": config.metric,
        "metadata": dict(config.corpus.metadata),
        "index": [*tuned_by(config, asked), config.index.shard_vectors],
        "excluded": sha256_json(excluded.to_pylist()),
    }
    if augmentation:  # what was published without it is still known
        others["augmentation"] = augmentation.model_dump()
    digest = LongListDigest("shards", others)
    for note in notes:
        digest.add([note.shard, note.path, note.sha256])
    return digest.hexdigest()


def _asked_a_sample(
    config: Config,
    previous: Generation | None,
    indexes: Sequence[IndexRef],
    run_folder: str,
    flags: Sequence[str],
) -> tuple[float | None, Health | None]:
    """Opens what was built, which checks every digest, and asks it for a sample of the last generation, or of itself.

    Returns:
        How much of the answers is as in the last generation, and what they tell of the catalogue.
    """
    before = previous.indexes if previous else indexes
    folder = files.join(run_folder, "drift")
    drift = Drift(config.store, before, indexes, folder, config.query.memory, flags)
    sample = _tried(drift.sample)
    with checking_digests():
        comparable = drift.ask_new(sample)
    if not comparable:
        return None, None
    return _tried(drift.overlap) if previous else None, _tried(lambda: drift.health(config.metric))


def _tried(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except (LookalikeError, OSError) as error:
        logger.warning("what is served cannot be asked for a sample: %s", error)
        return None
