"""What became of each shard in a run: small files in the run's folder, by which workers tell the driver.

    RUN/outcomes/SHARD  one shard's; whoever gets the shard again and finds it has nothing to do
    RUN/told/PIECE      those of a worker's whole piece of work, a line each: what the driver reads

Counts are added up from these files, because a runner's own counters count what was repeated.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

from lookalike.model.digests import sha256_json

from ..filesystem import files
from ..sources import Shard
from ..store.note_table import NoteTable
from ..store.notes import COUNTS, EmbeddedShard


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


@dataclass(frozen=True)
class Outcomes:
    """How all shards ended that a run is done with.

    Attributes:
        notes: of those that are finished, in no order.
        counts: of this run, added up.
        unfinished: name -> sentence, of the others.
        done: the names of both.
    """

    notes: NoteTable
    counts: Mapping[str, int]
    unfinished: Mapping[str, str]
    done: frozenset[str]


def run_file(run_folder: str, kind: str, shard: Shard) -> str:
    """The file of a kind (`outcomes`, `contents`, `known`) that a run keeps for a shard."""
    return files.join(run_folder, kind, _key(shard))


def _key(shard: Shard) -> str:
    return sha256_json([shard.name, shard.token])[:32]


class OutcomeLog:
    """The outcomes of one piece of work; see `outcome_log`."""

    def __init__(self, run_folder: str, step: str, stack: contextlib.ExitStack) -> None:
        self._run_folder, self._step, self._stack = run_folder, step, stack
        self._file: IO[bytes] | None = None

    def is_done(self, shard: Shard) -> bool:
        """Whether the run was done with a shard before, since a runner may hand out work again. Raises OSError."""
        path = run_file(self._run_folder, "outcomes", shard)
        if not files.exists(path):
            return False
        self._add(shard, files.read_bytes(path))
        return True

    def tell(self, shard: Shard, outcome: Outcome) -> None:
        """Tells the driver, and whoever gets the shard again. Raises OSError."""
        data = json.dumps(asdict(outcome)).encode()
        files.write_bytes(run_file(self._run_folder, "outcomes", shard), data, lasting=False)
        self._add(shard, data)

    def _add(self, shard: Shard, data: bytes) -> None:
        if self._file is None:  # of the same name when the same piece is done again
            path = files.join(self._run_folder, "told", f"{self._step}-{_key(shard)}")
            self._file = self._stack.enter_context(files.write_atomic(path, lasting=False))
        self._file.write(data + b"\n")


@contextlib.contextmanager
def outcome_log(run_folder: str, step: str) -> Iterator[OutcomeLog]:
    """The log of a piece of work, which the driver sees when the block ends without an error. Raises OSError.

    Args:
        run_folder: of the run.
        step: what is done with the shards.
    """
    with contextlib.ExitStack() as stack:
        yield OutcomeLog(run_folder, step, stack)


def read_outcomes(run_folder: str) -> Outcomes:
    """What workers told of all pieces that they are done with. Raises OSError."""
    counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    unfinished: dict[str, str] = {}
    done: set[str] = set()

    def notes() -> Iterator[EmbeddedShard]:
        for told in _told(run_folder):
            if told["shard"] in done:  # a piece that was done twice may have been told in another order
                continue
            done.add(told["shard"])
            counts.update(told["counts"])
            if told["note"]:
                yield EmbeddedShard(**told["note"])
            else:
                unfinished[told["shard"]] = told["unfinished"]

    return Outcomes(NoteTable.of(notes()), counts, unfinished, frozenset(done))


def _told(run_folder: str) -> Iterator[dict[str, Any]]:
    for listed in files.list_files(files.join(run_folder, "told")):
        with files.open_read(listed.path) as file:
            yield from map(json.loads, file)
