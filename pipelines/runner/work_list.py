"""What a pipeline works on, as files of the run: through Beam go numbers, and each worker reads what they stand for.

A plan of a million shards is hundreds of megabytes; a runner takes ten in a request, and keeps them.

    FOLDER/00000.json  a line of JSON for each element, about as many in each file
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from ..filesystem import files

MOST_FILES = 1000
"""Pieces that work is cut into at most: a piece is what one worker takes at a time, and a runner gets its number."""

T = TypeVar("T")


@dataclass(frozen=True)
class WorkList(Generic[T]):
    """Elements that workers read. It is small, and travels in a DoFn.

    Attributes:
        folder: where the files are; a worker must see it.
        pieces: number of files.
        decode: an element from what `json.loads` makes of its line; a function of a module.
    """

    folder: str
    pieces: int
    decode: Callable[[Any], T]

    def read(self, piece: int) -> Iterator[T]:
        """The elements of a piece, in order. Raises OSError."""
        with files.open_read(_path(self.folder, piece)) as file:
            for line in file:
                yield self.decode(json.loads(line))


def write_work_list(
    folder: str, elements: Iterable[Any], count: int, decode: Callable[[Any], T], most: int = MOST_FILES
) -> WorkList[T]:
    """Writes elements down, none of them held for longer than that takes. Raises OSError.

    Args:
        folder: for the files, of the run.
        elements: in order, as JSON takes them.
        count: how many there are.
        decode: see `WorkList`.
        most: pieces at most; see `beam.most_pieces`.
    """
    pieces = min(count, most)
    coming = iter(elements)
    for piece in range(pieces):
        size = (piece + 1) * count // pieces - piece * count // pieces
        with files.write_atomic(_path(folder, piece), lasting=False) as file:
            for element in islice(coming, size):
                file.write(json.dumps(element).encode() + b"\n")
    return WorkList(folder, pieces, decode)


def _path(folder: str, piece: int) -> str:
    return files.join(folder, f"{piece:05}.json")
