"""Makes the index shards of a generation: which are there already, which grow, and which are built anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..runner import progress
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..store.generation import Generation, IndexRef
from .build import IndexTask, build_index_shard, is_whole
from .growth import GrowthTask, grow
from .opening import let_go
from .refs import grown_refs, index_ref


class _Task(Protocol):
    def to_json(self) -> dict[str, Any]: ...


T = TypeVar("T", bound=_Task)


@dataclass(frozen=True)
class Made:
    """The index shards of a generation.

    Attributes:
        indexes: each with its addition behind it, if it has one.
        built: how many were built anew by this run.
        grown: how many got another addition.
        seconds: that it took.
    """

    indexes: tuple[IndexRef, ...]
    built: int
    grown: int
    seconds: float


def make_indexes(
    config: Config,
    tasks: Sequence[IndexTask],
    previous: Generation | None,
    tune: Callable[[], np.ndarray] | None,
    flags: Sequence[str],
) -> Made:
    """Makes what is not there.

    An index shard of the last generation grows while what came and went stays within `index.grow` of it, and within
    twice that where others change, too. Of those that have grown by more one is built anew, the one that has by most;
    so a catalogue that changes evenly does not build all of its index in one night.

    Args:
        config: the job.
        tasks: what each index shard would be built from, in order.
        previous: the last generation.
        tune: gives queries to tune with, float32 (q, dim), called only if they are needed; None for none.
        flags: Beam's flags.

    Raises:
        LookalikeError: if an embedding file is damaged, or a worker's file system fails.
        OSError: what the file system says here.
    """
    started = time.perf_counter()
    missing = [task for task in tasks if not is_whole(config.store, task.path)]
    growing = _growing(config, tasks, missing, previous)
    new = [one for one in growing if not is_whole(config.store, one.path)]
    if tune and (new or len(growing) < len(missing)):
        with files.write_atomic(str(missing[0].tuning), lasting=False) as file:
            np.save(file, tune(), allow_pickle=False)
    if new:
        about = sum(one.whole.vectors for one in new)
        _work("growing", new[0].whole.run_folder, new, about, GrowthTask.from_json, _grow_each, flags)
    grown = {one.whole.number: one for one in growing if is_whole(config.store, one.path)}
    to_build = [task for task in missing if task.number not in grown]
    if to_build:
        let_go()  # what is built may need all of the memory
        about = sum(task.vectors for task in to_build)
        _work("indexing", to_build[0].run_folder, to_build, about, IndexTask.from_json, _build_each, flags)
    indexes: list[IndexRef] = []
    for task in tasks:
        if task.number in grown:
            indexes += grown_refs(config.store, grown[task.number].path)
        else:
            indexes.append(replace(index_ref(config.store, task.path), decided_by=task.decided_by))
    seconds = time.perf_counter() - started
    return Made(tuple(indexes), len(to_build), sum(one.whole.number in grown for one in new), seconds)


def _growing(
    config: Config, tasks: Sequence[IndexTask], missing: Sequence[IndexTask], previous: Generation | None
) -> list[GrowthTask]:
    """Those of the missing index shards that are to grow, if they can."""
    share = config.index.grow
    bases = previous.index_shards if previous else ()
    if not share or len(bases) != len(tasks) or any(task.augmentation for task in tasks):
        return []
    assert previous is not None
    added = {ref.added_to: ref for ref in previous.indexes if ref.added_to}
    by_now = {task.number: _grown_by(bases[task.number], added) for task in missing}
    worst = max(by_now, key=by_now.__getitem__, default=0)
    most = share if len(missing) == 1 else 2 * share
    least = max(config.index.recall_target, config.gates.min_recall or 0.0)
    return [
        GrowthTask(task, base, _whole(config.store, added.get(base.path)), most, least)
        for task in missing
        if (base := bases[task.number]).decided_by == task.decided_by
        and not (task.number == worst and by_now[worst] > share)
        and is_whole(config.store, base.path, base.manifest_sha256)
    ]


def _whole(store: str, addition: IndexRef | None) -> IndexRef | None:
    """An addition if there is one with all of its files."""
    return addition if addition and is_whole(store, addition.path, addition.manifest_sha256) else None


def _grown_by(ref: IndexRef, added: dict[str, IndexRef]) -> float:
    """What came and went since an index shard was built, as a fraction of it."""
    hidden = ref.hidden.count if ref.hidden else 0
    new = added[ref.path].count if ref.path in added else 0
    return (new + hidden) / max(1, ref.count + hidden)


def _work(
    word: str,
    run_folder: str,
    tasks: Sequence[T],
    vectors: int,
    from_json: Callable[[Any], T],
    each: Callable[[Iterable[T]], None],
    flags: Sequence[str],
) -> None:
    """Has workers do all tasks; `word` says what, `vectors` how many these are about."""
    listed = files.join(run_folder, "work", word)
    as_json = (task.to_json() for task in tasks)
    work = write_work_list(listed, as_json, len(tasks), from_json, pieces_at_most(flags))
    with progress.shown(word, _progress(run_folder, word), len(tasks), vectors, "vectors"):
        in_workers(word.capitalize(), each, work, flags)


def _progress(run_folder: str, word: str) -> str:
    return files.join(run_folder, f"progress-{word}")


def _build_each(tasks: Iterable[IndexTask]) -> None:
    for task in tasks:
        _do("indexing", task, task.path, partial(build_index_shard, task))


def _grow_each(tasks: Iterable[GrowthTask]) -> None:
    for task in tasks:
        _do("growing", task.whole, task.path, partial(grow, task))


def _do(word: str, task: IndexTask, path: str, make: Callable[[], Any]) -> None:
    """Makes an index shard or an addition, if it is not there: a runner may hand out work again."""
    note = progress.worker_note(_progress(task.run_folder, word))
    if is_whole(task.store, path):
        return
    try:
        make()
    except OSError as error:
        raise LookalikeError(f"{path}: {files.reason(error)}") from error
    note.add(shards=1, vectors=task.vectors, work=task.vectors)
