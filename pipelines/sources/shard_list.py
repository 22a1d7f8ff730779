"""Shards in an order, which lie in a file of this machine: a million of them are 500 MB as objects."""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

import numpy as np

from ..filesystem.naming import naming
from .base import Shard


class ShardList(Sequence[Shard]):
    """Shards that are made when they are asked for; in memory are their places in the file, which goes with the list.

    Args:
        file: a line of JSON for each shard.
        starts: of the lines, and the end of the last, int64 (lines + 1,).
        lines: which of them, in order, int64.
    """

    def __init__(self, file: IO[bytes], starts: np.ndarray, lines: np.ndarray) -> None:
        self._file, self._starts, self._lines = file, starts, lines

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> ShardList:
        """The same shards in a new file. Raises OSError."""
        file = tempfile.TemporaryFile()  # noqa: SIM115  it is open as long as the list is there
        starts = array("q", [0])
        with naming(tempfile.gettempdir()):
            for shard in shards:
                starts.append(starts[-1] + file.write(json.dumps(shard.as_listed()).encode()))
            file.flush()
        return cls(file, np.array(starts, np.int64), np.arange(len(starts) - 1))

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Shard: ...
    @overload
    def __getitem__(self, place: slice) -> ShardList: ...
    def __getitem__(self, place: int | slice) -> Shard | ShardList:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return self._read(self._lines[place])

    def __iter__(self) -> Iterator[Shard]:
        return map(self._read, self._lines)

    def take(self, places: np.ndarray) -> ShardList:
        """The shards at some places, in that order."""
        return ShardList(self._file, self._starts, self._lines[places])

    def _read(self, line: np.int64) -> Shard:
        start = int(self._starts[line])
        data = os.pread(self._file.fileno(), int(self._starts[line + 1]) - start, start)
        return Shard.from_json(json.loads(data))
