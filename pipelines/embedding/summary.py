"""What a run comes to: how its shards ended, what is served of those that are not finished, and what came late."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..sources import find_shards
from ..store.generation import current_name, read_current
from ..store.generations import served_notes
from ..store.note_table import NoteTable
from ..store.notes import EmbeddedShard
from .outcomes import Outcomes
from .plan import Plan
from .report import EmbedSummary, unfinished_lines

logger = logging.getLogger(__name__)


def summarise(config: Config, plan: Plan, outcomes: Outcomes, seconds: float) -> EmbedSummary:
    """What a run did, and the plan as it stands then.

    A shard that is not finished is served as it was, if it is served and is to be read in the same way; else it is
    left out until a run finishes it.

    Args:
        config: the job.
        plan: what was to be done.
        outcomes: how the shards ended, all that were missing.
        seconds: wall-clock time of the run so far.

    Raises:
        LookalikeError: if a shard has no outcome.
    """
    if lost := [shard.name for shard in plan.missing if shard.name not in outcomes.done]:
        raise LookalikeError(
            f"Expected an outcome of every shard in {config.store}: do all workers see this store? "
            f"Received: none of {', '.join(lost[:5])}"
        )
    names = outcomes.notes.table["shard"]
    unfinished = {name: outcomes.unfinished[name] for name in sorted(outcomes.unfinished)}
    embedded = outcomes.notes.take(pc.sort_indices(names).to_numpy())
    summary = EmbedSummary(
        plan=_finished(plan, embedded, _served(config.store, plan, unfinished)),
        embedded=embedded,
        counts=dict(outcomes.counts),
        seconds=seconds,
        unfinished=unfinished,
        late=_late(config, plan, unfinished),
    )
    for line in unfinished_lines(summary.unfinished, summary.late):
        logger.warning("%s", line)
    return summary


def _finished(plan: Plan, *more: Sequence[EmbeddedShard]) -> Plan:
    """The plan with the shards of some more notes finished, and without those that still are not."""
    places = {shard.name: place for place, shard in enumerate(plan.shards)}
    notes = NoteTable.joined(plan.notes, *more)
    at = np.fromiter((places[note.shard] for note in notes), np.int64, len(notes))
    order = np.argsort(at)
    return replace(
        plan, shards=plan.shards.take(at[order]), finished=np.ones(len(order), bool), notes=notes.take(order)
    )


def _served(store: str, plan: Plan, names: Collection[str]) -> NoteTable:
    """The notes by which some shards are served now, with vectors of this encoder and the same metadata."""
    served: Iterable[EmbeddedShard] = ()
    if names:
        with contextlib.suppress(LookalikeError):  # whoever publishes will tell
            served = served_notes(store, read_current(store)) if current_name(store) else ()
    same = (plan.fingerprint, plan.options_digest)
    return NoteTable.of(
        note for note in served if note.shard in names and (note.encoder, note.options) == same
    )


def _late(config: Config, plan: Plan, unfinished: Collection[str]) -> tuple[str, ...]:
    """Names of the shards that arrived or changed after the corpus was listed, but for those that are unfinished."""
    try:
        now = find_shards(config.corpus.shards, config.corpus.source_options())
    except (LookalikeError, OSError) as error:
        logger.warning("the corpus cannot be listed again: %s", error)
        return ()
    late = []
    before = iter(plan.shards)
    was = next(before, None)
    for shard in now:  # both are sorted by name
        while was is not None and was.name < shard.name:
            was = next(before, None)
        known = was is not None and (was.name, was.token) == (shard.name, shard.token)
        if not known and shard.name not in unfinished:
            late.append(shard.name)
    return tuple(late)
