"""What was read of embedding files, put together for the next run: a part of the rows each, by workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..store.kept_parts import KeptParts, write_rows
from ..store.splits import IDS, KEYS
from .ids import read_rows


@dataclass(frozen=True)
class KeepParts:
    """Parts -> the files of their rows. It travels to workers.

    Attributes:
        before: what earlier runs read.
        folder: where `ids.ReadIds` left what this run read.
        to: what is written.
    """

    before: KeptParts
    folder: str
    to: KeptParts

    def __call__(self, parts: Iterable[int]) -> None:
        for part in parts:
            for schema in (IDS, KEYS):
                with write_rows(self.to.path(schema, part), schema) as add:
                    for rows in self.before.rows(schema, part, self.to.parts):
                        add(rows)
                    for rows in read_rows(self.folder, schema, part, self.to.parts):
                        add(rows)
