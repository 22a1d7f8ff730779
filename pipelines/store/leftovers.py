"""What dead runs left in a store: recognised, and deleted before the next one starts."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lookalike.model.encoder.manifest import read_manifest

from ..config.job import Config
from ..filesystem import files
from ..runner import progress
from .generation import CURRENT
from .lock import hold
from .own_names import of_runs

logger = logging.getLogger(__name__)

_OURS = ("embeddings", "indexes", "encoders", "generations", "reports", "notes", "kept", "standing")


@dataclass(frozen=True)
class CleanedUp:
    """What was deleted: number of files, and their bytes."""

    files: int
    bytes: int


def clean_up(store: str) -> CleanedUp:
    """Deletes what dead runs left: unfinished files and folders, and notes of progress.

    Call it under `hold`, before a run starts workers. Workers of a dead run that still live fail at renaming
    what is gone, and publish nothing. On a URL nothing unfinished is visible but the notes.

    Returns:
        How much it was; logged if it was anything.
    """
    leftovers = [*_unfinished(store), *of_runs(progress.runs_folder(store))]
    sizes = [size for path in leftovers for size in _sizes(path)]
    files.delete(leftovers)
    if sizes:
        megabytes = sum(sizes) / 1e6
        logger.info("deleted what an interrupted run left: %s files, %.1f MB", f"{len(sizes):,}", megabytes)
    return CleanedUp(len(sizes), sum(sizes))


def _unfinished(store: str) -> Iterator[str]:
    """Unfinished files and folders of a local store, all of which begin with a dot; folders of nothing else."""
    if files.is_remote(store):
        return
    root = os.path.dirname(files.join(store, CURRENT))
    with contextlib.suppress(FileNotFoundError):
        yield from (
            e.path for e in os.scandir(root or ".") if e.name.startswith(f".{CURRENT}{files.TEMPORARY}")
        )
    for ours in _OURS:
        yield from _below(os.path.join(root, ours), is_ours=True)


def _below(folder: str, is_ours: bool) -> Iterator[str]:
    """What is unfinished in a folder; the folder itself if it holds nothing else, unless it `is_ours` to keep."""
    unfinished, folders, is_used = [], [], is_ours
    try:
        listed = os.scandir(folder)
    except OSError:  # what needs it will tell
        return
    with listed as entries:
        for entry in entries:
            if entry.name.startswith(".") and files.TEMPORARY in entry.name:
                unfinished.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                is_used = True
    yield from unfinished if is_used or folders else [folder]
    for path in folders:
        yield from _below(path, is_ours=False)


def _sizes(path: str) -> Iterator[int]:
    """Bytes of a file, or of every file in a folder, unfinished or not."""
    if files.is_remote(path):
        yield from (file.size for file in files.list_files(path))
    elif os.path.isfile(path):
        yield os.path.getsize(path)
    for folder, _, names in os.walk(path):
        yield from (os.lstat(os.path.join(folder, name)).st_size for name in names)


@contextlib.contextmanager
def writing(config: Config, what: str) -> Iterator[Callable[[], None]]:
    """Makes this the only run that writes to the store, after cleaning up behind dead ones.

    Yields:
        A check that the store is still ours.

    Raises:
        LookalikeError: if another run holds the store, naming it.
    """
    read_manifest(config.encoder)  # before a store is made for a job that cannot run
    with hold(config.store, what) as still_mine:
        clean_up(config.store)
        yield still_mine
