"""The generation that a page shows the pictures of."""

from __future__ import annotations

import contextlib

from ..store import generations
from ..store.generation import Generation


def opened(store: str, name: str | None) -> contextlib.AbstractContextManager[Generation]:
    """Opens the generation of a name; where that is not known, or gone, the one that is served now.

    Raises:
        LookalikeError: if there is none, or it is damaged.
        OSError: if it cannot be read.
    """
    return generations.reading(store, name if name in generations.names(store) else None)
