"""Which items the generation before did not serve."""

from __future__ import annotations

from collections.abc import Collection

from ..evaluate.pictures import first_shards
from ..store import generations
from ..store.generation import Generation
from ..store.generations import served_notes


def new_items(store: str, generation: Generation, item_ids: Collection[str]) -> set[str] | None:
    """Those of some items that the generation before this one did not serve; None where there was none, or it is gone.

    Only embedding files that one of both has and the other has not are opened.

    Raises:
        LookalikeError: if one of the two is damaged.
        OSError: if an embedding file cannot be read.
    """
    if generation.previous is None or generation.previous not in generations.names(store):
        return None
    before = served_notes(store, generations.read(store, generation.previous))
    now = served_notes(store, generation)
    known, still = {note.path for note in before}, {note.path for note in now}
    came = first_shards(store, (note for note in now if note.path not in known), item_ids)
    candidates = {item_id for ids in came.values() for item_id in ids}
    went = first_shards(store, (note for note in before if note.path not in still), candidates)
    return candidates - {item_id for ids in went.values() for item_id in ids}
