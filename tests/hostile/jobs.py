"""Whole jobs over hostile files, as processes whose memory is watched."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from . import memory
from .memory import Ended

COMMAND = (sys.executable, "-c", "from lookalike.cli.main import main; main()")


@dataclass(frozen=True)
class HostileJob:
    """A job whose store, job file and answers are in one folder.

    Attributes:
        folder: of it all.
        encoder: the bundle.
        shards: the corpus: folders, files, globs.
    """

    folder: Path
    encoder: Path
    shards: Sequence[str]

    def run(self, command: str, *arguments: object) -> Ended:
        """Runs a command of `lookalike` with this job's file, where no gate minds what is rejected."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "job.yaml"
        job = {
            "corpus": {"shards": list(self.shards)},
            "encoder": str(self.encoder),
            "store": str(self.folder / "store"),
            "gates": {"max_reject_fraction": 1.0, "allow_damaged_shards": True, "max_shrink_fraction": 1.0},
        }
        path.write_text(yaml.safe_dump(job))
        return memory.run([*COMMAND, command, "--config", path, *arguments])

    def query(self, queries: object) -> Ended:
        """Answers queries into the folder `out`."""
        return self.run("query", queries, "--out", self.folder / "out", "--format", "parquet")

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Of all embedding files."""
        return [json.loads(path.read_text()) for path in (self.folder / "store/embeddings").glob("*/*.json")]

    @property
    def rejects(self) -> list[dict[str, Any]]:
        """All rows of all tables of rejects."""
        return self._rows("rejects_path")

    @property
    def embedded(self) -> list[str]:
        """Ids of all that was embedded."""
        return [row["item_id"] for row in self._rows("path", ["item_id"])]

    @property
    def failures(self) -> list[dict[str, str]]:
        """Of the last query job."""
        return pq.read_table(self.folder / "out/failures.parquet").to_pylist()

    def _rows(self, name: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
        paths = [self.folder / "store" / note[name] for note in self.notes]
        return [row for path in paths for row in pq.read_table(path, columns=columns).to_pylist()]
