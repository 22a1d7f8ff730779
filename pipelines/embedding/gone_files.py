"""What becomes of a run that took the file of all notes at its word, where files that it names are not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..store.note_file import break_seal
from ..store.note_listing import changed_behind
from .plan import Plan
from .report import FEW


class GoneFilesError(LookalikeError):
    """Embedding files that a run relied on were deleted or replaced by somebody else; the next plan knows."""


@contextlib.contextmanager
def naming_gone(store: str, plan: Plan) -> Iterator[None]:
    """Where the block fails, also at a gate, looks whether all that the plan relied on is there, if nobody has looked.

    Raises:
        GoneFilesError: if it is not; the next run lists the store.
    """
    try:
        yield
    except (LookalikeError, OSError) as error:
        gone = [] if plan.is_listed else _gone(store, plan)
        if not gone:
            raise
        break_seal(store, plan.fingerprint)
        told = files.reason(error) if isinstance(error, OSError) else str(error)
        first = ", ".join(gone[:FEW])
        raise GoneFilesError(
            f"{told}; somebody deleted or replaced embedding files of {len(gone):,} shards in {store} ({first}), which "
            f"`lookalike embed` or `lookalike nightly` embeds again"
        ) from error


def _gone(store: str, plan: Plan) -> list[str]:
    try:
        return changed_behind(store, plan.fingerprint, plan.notes)
    except (LookalikeError, OSError):  # the first error says more
        return []
