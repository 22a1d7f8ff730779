"""What a first pass through a shard notes: what lies where, and all but the images of what a second one would read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..filesystem import files
from ..sources import Shard
from ..sources.records import Reject
from ..sources.types import arrow_type
from ..store.notes import table_of
from .known import read_known
from .outcomes import run_file
from .reading import Entry, ShardReading

_ROWS = 8192


def _schema(metadata: Mapping[str, str]) -> pa.Schema:
    ours = [("position", pa.int64()), ("content_hash", pa.string()), ("item_id", pa.string())]
    # No field of the user's is called like one of ours.
    return pa.schema([*ours, *((f"metadata.{name}", arrow_type(kind)) for name, kind in metadata.items())])


def record(reading: ShardReading, metadata: Mapping[str, str], file: IO[bytes]) -> Iterator[Entry]:
    """Reads a shard to its end and notes it in a file; gives each record that is no reject.

    Args:
        reading: the shard, of which nothing has been read.
        metadata: configured fields, name -> type.
        file: where to; it is whole when all has been given.

    Raises:
        NotAsListedError: if it is not the shard that was listed.
        OSError: if the file system fails otherwise.
    """
    schema = _schema(metadata)
    rejects: list[Reject] = []
    rows: list[tuple[Any, ...]] = []
    with pq.ParquetWriter(file, schema, use_dictionary=False) as writer:
        for entry in reading:
            if isinstance(entry, Reject):
                rejects.append(entry)
                continue
            rows.append((entry.position, entry.content_hash, entry.item_id, *entry.metadata))
            if len(rows) == _ROWS:
                writer.write_table(table_of(rows, schema))
                rows = []
            yield entry
        writer.write_table(table_of(rows, schema))
        rest = {"digest": reading.digest, "damaged": reading.damaged, "rejects": list(map(asdict, rejects))}
        writer.add_key_value_metadata({"rest": json.dumps(rest)})


class RecordedReading:
    """A shard as `record` noted it, in the place of a `reading.ShardReading`; its records come without images.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with files.open_read(path) as file:
            self._rest = json.loads(pq.ParquetFile(file).metadata.metadata[b"rest"])

    def __iter__(self) -> Iterator[Entry | Reject]:
        """The records in order, then the rejects. Raises OSError."""
        with files.open_read(self._path) as file:
            for batch in pq.ParquetFile(file).iter_batches():
                for position, content_hash, item_id, *metadata in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                ):
                    yield Entry(item_id, position, content_hash, metadata, b"")
        yield from (Reject(**reject) for reject in self._rest["rejects"])

    @property
    def digest(self) -> str:
        """As `reading.ShardReading.digest`."""
        return str(self._rest["digest"])

    @property
    def damaged(self) -> str | None:
        """Why and where reading ended early; None for a whole shard."""
        damaged: str | None = self._rest["damaged"]
        return damaged


def all_known(run_folder: str, shard: Shard, dim: int) -> bool:
    """Whether a run noted a shard of which every image is known, so that it need not be read again. Raises OSError."""
    noted, known = (run_file(run_folder, kind, shard) for kind in ("contents", "known"))
    if not (files.exists(noted) and files.exists(known)):
        return False
    with files.open_read(noted) as file:
        batches = pq.ParquetFile(file).iter_batches(columns=["position", "content_hash"])
        wanted = (pair for b in batches for pair in zip(*(c.to_pylist() for c in b.columns), strict=True))
        found = ((int(row["position"]), row["content"].decode()) for row in read_known(known, dim))
        return all(one == other for one, other in zip_longest(wanted, found))
