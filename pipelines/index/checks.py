"""What must be known of all embedding files before they are indexed, found by workers in two passes.

The first reads each file once and splits the ids into parts (`ids`), the second compares the ids of a part
(`duplicates`). Whoever started them holds no id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..filesystem import files
from ..runner import progress
from ..runner.work_list import write_work_list
from ..runner.workers import in_workers, pieces_at_most
from ..store.notes import EmbeddedShard
from .duplicates import FindLeftOut, write_taken_down
from .ids import Found, ReadIds, StoredShard, found_in, parts_for


@dataclass(frozen=True)
class Checks:
    """What is asked of embedding files.

    Attributes:
        store: folder of the store.
        run_folder: of the run, for what workers read and write.
        vectors: how many the files hold.
        carried: fields of metadata of which it is asked whether they have values.
        unchecked: embedding files whose digests are not asked.
    """

    store: str
    run_folder: str
    vectors: int
    carried: tuple[str, ...]
    unchecked: Collection[str] = ()


def read_ids(checks: Checks, notes: Sequence[EmbeddedShard], flags: Sequence[str] = ()) -> Found:
    """Checks files and reads their ids, which `find_left_out` then compares.

    Args:
        checks: what is asked.
        notes: the embedding files, in the order of the corpus.
        flags: Beam's flags.

    Raises:
        LookalikeError: if an embedding file cannot be read.
        OSError: if the run's folder cannot be written.
    """
    work = write_work_list(
        files.join(checks.run_folder, "work", "ids"),
        (
            StoredShard.of(n, note, note.path not in checks.unchecked).to_json()
            for n, note in enumerate(notes)
        ),
        len(notes),
        StoredShard.from_json,
        pieces_at_most(flags),
    )
    noted = files.join(checks.run_folder, "progress-checking")
    read = ReadIds(checks.store, _ids(checks), parts_for(checks.vectors), checks.carried, noted)
    with progress.shown("checking", noted, len(notes), checks.vectors, "vectors"):
        in_workers("Read ids", read, work, flags)
    return found_in(_ids(checks))


def find_left_out(checks: Checks, taken_down: pa.Array, flags: Sequence[str] = ()) -> str:
    """Finds the records that are not served; gives the folder that `duplicates.left_out` reads.

    Args:
        checks: for which `read_ids` was done.
        taken_down: ids that are not served, string array, each once.
        flags: Beam's flags.

    Raises:
        LookalikeError: if what does not fit into memory finds no place.
        OSError: if the run's folder cannot be written.
    """
    parts = parts_for(checks.vectors)
    path = files.join(checks.run_folder, "taken-down.arrow")
    write_taken_down(path, taken_down, parts)
    folder = files.join(checks.run_folder, "left-out")
    spill = None if files.is_remote(checks.run_folder) else checks.run_folder
    work = write_work_list(
        files.join(checks.run_folder, "work", "left-out"), range(parts), parts, int, pieces_at_most(flags)
    )
    in_workers("Find left out", FindLeftOut(_ids(checks), parts, path, folder, spill), work, flags)
    return folder


def _ids(checks: Checks) -> str:
    return files.join(checks.run_folder, "ids")
