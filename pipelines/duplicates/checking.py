"""Pairs of pictures, each looked at: how well their fine structure agrees.

looks.arrow                thumbnails in the order of their items, for all workers
to-check/NUMBER.arrow      pairs: places of two thumbnails among them
correlations/NUMBER.arrow  the correlation of each of those pairs
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lookalike.model.cores import cores

from ..filesystem import files
from ..runner import progress
from .alignment import Look, correlation
from .thumbnails import look_of

CHECKED_AT_ONCE = 4096
"""Pairs in a file."""
_KEPT = 2048
"""Thumbnails that are held decoded, some 40 kB each: pairs are sorted by their first one."""
TO_CHECK = pa.schema([("one", pa.int64()), ("other", pa.int64())])
CORRELATIONS = pa.schema([("one", pa.int64()), ("other", pa.int64()), ("correlation", pa.float32())])


@dataclass(frozen=True)
class CheckPairs:
    """Numbers of files of pairs -> files of correlations. It travels to workers.

    Attributes:
        folder: of the run.
    """

    folder: str

    def __call__(self, numbers: Iterable[int]) -> None:
        note = progress.worker_note(files.join(self.folder, "progress"))
        path = files.join(self.folder, "looks.arrow")
        mapped = pa.BufferReader(files.read_bytes(path)) if files.is_remote(path) else pa.memory_map(path)
        with mapped, pa.ipc.open_file(mapped) as reader, ThreadPoolExecutor(cores()) as pool:
            pictures = reader.read_all()["picture"]

            @functools.lru_cache(_KEPT)
            def look(place: int) -> Look:
                return look_of(pictures[place].as_py())

            def compared(pair: tuple[int, int]) -> float:
                return correlation(look(pair[0]), look(pair[1]))

            for number in numbers:
                with files.open_read(files.join(self.folder, "to-check", f"{number:07}.arrow")) as file:
                    pairs = pa.ipc.open_file(file).read_all()
                places = (pairs["one"].to_pylist(), pairs["other"].to_pylist())
                found = np.fromiter(
                    pool.map(compared, zip(*places, strict=True), chunksize=64), np.float32, len(pairs)
                )
                _write(self.folder, "correlations", number, [*pairs.columns, found], CORRELATIONS)
                note.add(pairs=len(pairs), work=len(pairs), shards=1)
        note.write()


def write_pairs(folder: str, number: int, one: pa.Array, other: pa.Array) -> None:
    """Writes a file of pairs to be checked. Raises OSError."""
    _write(folder, "to-check", number, [one, other], TO_CHECK)


def _write(folder: str, name: str, number: int, columns: list[object], schema: pa.Schema) -> None:
    path = files.join(folder, name, f"{number:07}.arrow")
    with files.write_atomic(path, lasting=False) as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
