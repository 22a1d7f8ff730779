"""Where the work of a list is done: by Beam's workers if a runner was asked for, else in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from lookalike.model.imports import importing

from .work_list import WorkList

T = TypeVar("T")


def pieces_at_most(flags: Sequence[str]) -> int:
    """Into how many pieces work is cut at most: one where it is done in this process. See `beam.most_pieces`."""
    if not flags:
        return 1
    with importing("Beam"):
        from .beam import most_pieces

    return most_pieces(flags)


def workers_here(flags: Sequence[str]) -> int:
    """How many worker processes work on this machine: one where it is this one. See `beam.workers_on_this_machine`."""
    if not flags:
        return 1
    with importing("Beam"):
        from .beam import workers_on_this_machine

    return workers_on_this_machine(flags)


def in_workers(
    name: str, work_on: Callable[[Iterable[T]], None], work: WorkList[T], flags: Sequence[str]
) -> None:
    """As `beam.run_each`, but without flags the work is done here and Beam not imported.

    A pipeline takes Beam 0.15 s, as long as all of the work of a small catalogue.

    Raises:
        LookalikeError: as `run_each`; also for what a worker's file system says.
        OSError: what the file system says here.
    """
    if not flags:
        for piece in range(work.pieces):
            work_on(work.read(piece))
        return
    with importing("Beam"):
        from .beam import run_each

    run_each(name, work_on, work, flags)
