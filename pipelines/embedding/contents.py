"""What the missing shards hold: read once before anything is embedded, for the digests of their images.

A shard whose content is embedded already, under its name and in the same way, is finished by that. Of the others
all but the images is left in the run's folder (see `recorded`), by which `known` finds what needs no encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..runner import progress
from ..sources import Shard
from ..sources.fields import escape
from ..sources.opening import NotAsListedError
from ..store.notes import EmbeddedShard, standing_note, write_note
from .outcomes import Outcome, OutcomeLog, outcome_log, run_file
from .reading import ShardReading
from .recorded import record
from .shard_work import EmbedTask


class ReadContents:
    """Shards -> for each the file of what it holds, or its outcome. It travels to workers."""

    def __init__(self, task: EmbedTask) -> None:
        self._task = task

    def __call__(self, shards: Iterable[Shard]) -> None:
        noted = progress.worker_note(self._task.progress_folder)
        with outcome_log(self._task.run_folder, "read") as outcomes:
            for shard in shards:
                if not outcomes.is_done(shard):
                    self._read(shard, noted, outcomes)
                noted.add(shards=1)
        noted.write()

    def _read(self, shard: Shard, noted: progress.WorkerNote, outcomes: OutcomeLog) -> None:
        try:
            note = read_contents(shard, self._task, noted)
        except NotAsListedError as error:
            outcomes.tell(shard, Outcome(shard.name, None, {}, str(error)))
        except OSError as error:
            raise LookalikeError(f"{escape(shard.place)}: {files.reason(error)}") from error
        else:
            if note:
                outcomes.tell(shard, Outcome(shard.name, note, _all_reused(note)))


def read_contents(shard: Shard, task: EmbedTask, noted: progress.WorkerNote) -> EmbeddedShard | None:
    """Writes the file of what a shard holds; gives its note if just that is embedded already.

    Raises:
        NotAsListedError: if it is not the shard that was listed.
        OSError: if the file system fails otherwise.
    """
    reading = ShardReading(shard, task.options)
    with files.write_atomic(run_file(task.run_folder, "contents", shard), lasting=False) as file:
        for entry in record(reading, task.options.metadata, file):
            noted.add(records=1, work=len(entry.image))
    return _keep_standing(shard, reading.digest, task)


def _keep_standing(shard: Shard, digest: str, task: EmbedTask) -> EmbeddedShard | None:
    """Marks a shard as unchanged whose content was embedded before, if those files are whole; gives its note.

    Raises:
        OSError: if the store cannot be read or written.
    """
    note = standing_note(task.store, shard.name, digest, task.fingerprint, task.options_digest)
    if note and note.token != shard.token:
        note = replace(note, token=shard.token)
        write_note(task.store, note)
    return note


def _all_reused(note: EmbeddedShard) -> dict[str, int]:
    """What a run counts of a shard whose content was embedded before."""
    return {
        "read": note.read,
        "reused": note.embedded + note.reused,
        "rejected": note.rejected,
        "duplicates": note.duplicates,
    }
