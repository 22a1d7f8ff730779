"""What checking embedding files before they are indexed takes, of who starts the work and of workers, by their number.

    python benchmarks/checks.py [--shards 1000 4000 16000] [--folder FOLDER] [--json FILE]

Synthetic embedding files of 1,000 ids and vectors of four numbers; one file in a hundred repeats the one before it. The
columns with `again` are those of a next night in which one file is new and the others were read before. Each step runs
in a process of its own: seconds, and the peak of its memory above what it began with. Expect time in proportion to the
files, of reading ids again to those that are new; memory of who starts the work only by what Python keeps of notes.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.filesystem import files
from lookalike.index.checks import Checks, ReadFiles, find_left_out, keep, read_ids
from lookalike.index.duplicates import left_out
from lookalike.index.inputs import write_inputs
from lookalike.sources.base import shards_for
from lookalike.store import kept
from lookalike.store.notes import EmbeddedShard, embedding_schema

IDS, DIM = 1000, 4
VECTORS_AN_INDEX_SHARD = 2_000_000


def make_store(store: Path, shards: int) -> list[EmbeddedShard]:
    """Embedding files and their notes."""
    (store / "embeddings").mkdir(parents=True)
    (store / "rejects").touch()
    nothing = files.sha256(str(store / "rejects"))
    schema = embedding_schema(DIM, {})
    vectors = pa.FixedSizeListArray.from_arrays(
        np.ones(IDS * DIM, np.float32), type=schema.field("embedding").type
    )
    sizes = pa.array([8] * IDS, pa.int32())
    notes = []
    for number in range(shards):
        shard = number - (number % 100 == 99)
        ids = [f"photographs/{shard:07}/{n:05}.jpg" for n in range(IDS)]
        path = f"embeddings/{number:07}.parquet"
        table = pa.table([ids, vectors, ["0" * 64] * IDS, sizes, sizes], schema=schema)
        pq.write_table(table, store / path, compression="zstd")
        sha256 = files.sha256(str(store / path))
        counts = {"read": IDS, "embedded": IDS, "reused": 0, "rejected": 0, "duplicates": 0}
        of_note = {"token": "1", "digest": "", "encoder": "", "options": "", "reasons": {}, "damaged": None}
        notes.append(
            EmbeddedShard(
                shard=f"{number:07}.tar",
                path=path,
                sha256=sha256,
                rejects_path="rejects",
                rejects_sha256=nothing,
                bytes=0,
                seconds={},
                **counts,
                **of_note,
            )
        )
    return notes


def apart(work: Callable[[], object]) -> tuple[float, float]:
    """Does work in a process of its own; gives its seconds, and MiB at its peak above what it had."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.waitpid(child, 0)
        return pickle.loads(os.read(reading, 1 << 16))
    before, started = _memory("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    os.write(writing, pickle.dumps((seconds, (_memory("VmHWM") - before) / 2**10)))
    os._exit(0)


def _memory(kind: str) -> int:
    """Kilobytes, from proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def merge(checks: Checks, notes: Sequence[EmbeddedShard]) -> None:
    """What who started the work does with what workers found."""
    shards = shards_for(checks.vectors, VECTORS_AN_INDEX_SHARD)
    found = left_out(files.join(checks.run_folder, "left-out"))
    write_inputs(files.join(checks.run_folder, "inputs.arrow"), notes, found, shards, {})


class Night:
    """The steps of a night; each may be done in a process of its own, after those before it were done there, too."""

    def __init__(self, checks: Checks, notes: Sequence[EmbeddedShard]) -> None:
        self._checks, self._notes = checks, notes
        self._state = Path(checks.run_folder, "state")

    def read(self) -> None:
        found = read_ids(self._checks, self._notes, self._notes)
        self._state.write_bytes(pickle.dumps(found))

    def find(self) -> None:
        find_left_out(self._checks, self._found, pa.array([], pa.string()))

    def keep(self) -> None:
        rows = keep(self._checks, self._found)
        kept.replace_rows(self._checks.store, self._checks.encoder, rows)

    def merge(self) -> None:
        merge(self._checks, self._notes)

    @property
    def _found(self) -> ReadFiles:
        return pickle.loads(self._state.read_bytes())


def measured(folder: Path, shards: int) -> dict[str, Any]:
    """A row of the table."""
    notes = make_store(folder, shards + 1)
    row: dict[str, Any] = {"shards": shards}
    for name, count in (("", shards), (" again", shards + 1)):
        checks = Checks(str(folder), "0" * 64, str(folder / f"run{count}"), count * IDS, again=False)
        night = Night(checks, notes[:count])
        for step, work in {
            "read ids": night.read,
            "find left out": night.find,
            "keep": night.keep,
            "merge (who starts)": night.merge,
        }.items():
            seconds, mebibytes = apart(work)
            row |= {f"{step}{name}, s": round(seconds, 2), f"{step}{name}, MiB": round(mebibytes, 1)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 4000, 16000], help="numbers of files")
    parser.add_argument(
        "--folder", type=Path, help="where to write them; default the system's temporary files"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    rows = []
    for shards in arguments.shards:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(measured(Path(folder), shards))
    common.show([("embedding files checked before they are indexed", rows)], arguments.json)


if __name__ == "__main__":
    main()
