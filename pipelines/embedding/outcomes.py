"""What became of each shard in a run: small files in the run's folder, by which workers tell the driver.

A runner may run a shard again that is done; whoever finds its outcome has nothing to do. Counts are added up from
these files, because a runner's own counters count what was repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lookalike.model.digests import sha256_json

from ..filesystem import files
from ..sources import Shard
from ..store.notes import EmbeddedShard


@dataclass(frozen=True)
class Outcome:
    """How a shard ended in a run.

    Attributes:
        shard: its name.
        note: of the finished shard; None for one that is not finished.
        counts: records read, embedded, reused, rejected and duplicates of this run.
        unfinished: one sentence that says why it is not finished; empty for one that is.
    """

    shard: str
    note: EmbeddedShard | None
    counts: Mapping[str, int]
    unfinished: str = ""


def run_file(run_folder: str, kind: str, shard: Shard) -> str:
    """The file of a kind (`outcomes`, `contents`, `known`) that a run keeps for a shard."""
    return files.join(run_folder, kind, sha256_json([shard.name, shard.token])[:32])


def has_outcome(run_folder: str, shard: Shard) -> bool:
    """Whether the run is done with a shard. Raises OSError."""
    return files.exists(run_file(run_folder, "outcomes", shard))


def write_outcome(run_folder: str, shard: Shard, outcome: Outcome) -> None:
    """Tells the driver, and whoever gets the shard again. Raises OSError."""
    files.write_bytes(run_file(run_folder, "outcomes", shard), json.dumps(asdict(outcome)).encode())


def read_outcomes(run_folder: str) -> dict[str, Outcome]:
    """Shard name -> outcome, of all shards that the run is done with. Raises OSError."""
    listed = files.list_files(files.join(run_folder, "outcomes"))
    found = [json.loads(data) for data in files.read_many(file.path for file in listed)]
    notes = [EmbeddedShard(**told["note"]) if told["note"] else None for told in found]
    return {told["shard"]: Outcome(**{**told, "note": note}) for told, note in zip(found, notes, strict=True)}
