"""What the store knows of the images of missing shards, found by workers: a join by content, once a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from ..filesystem import files
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..sources import Shard
from ..store import kept
from ..store.notes import EmbeddedShard
from ..store.splits import KEYS, parts_for
from .content_join import Choose, Fetch, Group, HandOut, Join, Listed, ReadHeld, ReadWanted, group_of
from .outcomes import run_file

logger = logging.getLogger(__name__)

T = TypeVar("T")


def find_known(
    store: str,
    notes: Sequence[EmbeddedShard],
    shards: Sequence[Shard],
    run_folder: str,
    dim: int,
    max_pixels: int,
    flags: Sequence[str] = (),
) -> None:
    """Leaves each shard a file of the embeddings that the store has of its images, if there are any.

    Only embedding files that were not read before are opened, and those that hold what is wanted; see `store.kept`.
    Where several embedding files hold a content, the last one's is taken. One that is damaged is not used. An image
    above the limit is not known: whoever decodes it refuses it. Whoever calls this holds no key and no vector.

    Args:
        store: folder of the store.
        notes: the embedding files of the encoder, in a fixed order.
        shards: those whose contents were read.
        run_folder: of the run, in which they lie.
        dim: length of a vector.
        max_pixels: largest width x height.
        flags: Beam's flags.

    Raises:
        LookalikeError, OSError: if a file system fails; see `workers.in_workers`.
    """
    folder = files.join(run_folder, "join")
    encoder = notes[0].encoder
    table = kept.usable(store, encoder, folder, [KEYS], flags)
    rows = table.rows_of(notes)
    numbers = np.full(len(table), -1, "<i4")
    numbers[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    path = files.join(folder, "numbers")
    files.write_bytes(path, numbers.tobytes(), lasting=False)
    join = Join(
        store=store,
        folder=folder,
        file_count=len(notes),
        shard_count=len(shards),
        parts=parts_for(sum(note.embedded + note.reused for note in notes)),
        dim=dim,
        max_pixels=max_pixels,
        kept=kept.parts_of(store, encoder, table, path),
    )
    steps = _Steps(join, flags)
    contents = (Listed(n, run_file(run_folder, "contents", shard)) for n, shard in enumerate(shards))
    steps.run("Read wanted", ReadWanted(join), contents, len(shards), Listed.from_json)
    new = rows < 0
    listed = (one for one in _listed(notes) if new[one.number])
    steps.run("Read held", ReadHeld(join), listed, int(new.sum()), Listed.from_json)
    damaged = join.damaged("held")
    _warn(damaged)
    while True:
        choose = Choose(join, tuple(damaged))
        steps.run("Choose", choose, range(join.parts), join.parts, int)
        wanted = join.chosen_groups()
        groups = _grouped(_listed(notes), join.file_count, join.file_groups)
        chosen = (group for group in groups if group[0] in wanted)
        steps.run("Fetch", Fetch(join), chosen, len(wanted), Group.from_json)
        found = join.damaged("fetched")
        if not found:
            break
        _warn(found)
        damaged |= found
        files.delete([files.join(join.folder, "fetched")])
    known = (Listed(n, run_file(run_folder, "known", shard)) for n, shard in enumerate(shards))
    of_shards = _grouped(known, join.shard_count, join.shard_groups)
    steps.run("Hand out", HandOut(join), of_shards, join.shard_groups, Group.from_json)
    files.delete([join.folder])


class _Steps:
    """Steps of a join, each done by workers before the next begins."""

    def __init__(self, join: Join, flags: Sequence[str]) -> None:
        self._join, self._flags = join, flags

    def run(
        self,
        name: str,
        work_on: Callable[[Iterable[T]], None],
        elements: Iterable[Any],
        count: int,
        decode: Callable[[Any], T],
    ) -> None:
        if not count:
            return
        folder = files.join(self._join.folder, "work", name.replace(" ", "-").lower())
        work = write_work_list(folder, elements, count, decode, pieces_at_most(self._flags))
        in_workers(name, work_on, work, self._flags)


def _listed(notes: Iterable[EmbeddedShard]) -> Iterator[Listed]:
    return (Listed(number, note.path, note.sha256) for number, note in enumerate(notes))


def _grouped(listed: Iterable[Listed], count: int, groups: int) -> Iterator[list[Any]]:
    """Files in groups of neighbours, as JSON takes them."""
    for group, members in groupby(listed, key=lambda one: group_of(one.number, count, groups)):
        yield [group, list(members)]


def _warn(damaged: dict[int, str]) -> None:
    for path in damaged.values():
        logger.warning("%s is damaged and not used again: what only it holds is embedded anew", path)
