"""Embeds what is missing, and imports what that needs only then."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.job import Config
from ..store.encoders import keep_encoder
from ..store.note_listing import keep_notes
from ..store.notes import COUNTS
from .attempts import forget
from .plan import make_plan
from .report import EmbedSummary


def embed_missing(config: Config, flags: Sequence[str] = ()) -> EmbedSummary:
    """Embeds what is not embedded; imports neither Beam nor TensorFlow if that is nothing.

    Raises:
        LookalikeError: for what the user can mend.
    """
    plan = make_plan(config)
    if plan.finished.all():
        forget(config.store)  # what a run left that was ended behind its last shard
        if not plan.are_kept:
            keep_notes(config.store, plan.fingerprint, plan.stored)
        keep_encoder(config.store, config.encoder)
        return EmbedSummary(plan, (), dict.fromkeys(COUNTS, 0), 0.0)
    from .job import embed

    return embed(config, plan, flags)
