"""The embedding file of one image shard, its rejects, and the note that says both are finished.

Three files share a name made from the shard's content, the encoder and the reader's options:
`NAME.parquet`, `NAME.rejects.parquet` and, written last, `NAME.json`. Without the last the others do not count.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..sources.records import Reject

logger = logging.getLogger(__name__)
ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
REJECTS_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("shard", pa.string()),
        ("position", pa.int64()),
        ("stage", pa.string()),
        ("error", pa.string()),
    ]
)
DUPLICATE = "duplicate"
COUNTS = ("read", "embedded", "reused", "rejected", "duplicates")


@dataclass(frozen=True, slots=True)
class EmbeddedShard:
    """The note beside an embedding file.

    Attributes:
        shard: name of the image shard.
        token: what its file system said of it when it was read (`Shard.token`).
        digest: SHA-256 over its records in order: ids, image digests, metadata, and what could not be read.
        encoder: fingerprint of the encoder.
        options: digest of the reader's options.
        path: the embedding file, relative to the store.
        sha256: of the embedding file.
        rejects_path: the rejects file, relative to the store.
        rejects_sha256: of the rejects file.
        read, embedded, reused, rejected, duplicates: numbers of records; the first is the sum of the others.
        reasons: stage of rejection -> number of records.
        damaged: why and where reading ended early; None for a whole shard.
        bytes: size of the shard.
        seconds: stage (read, decode, network, write) -> seconds of work; decode and network of all threads.
    """

    shard: str
    token: str
    digest: str
    encoder: str
    options: str
    path: str
    sha256: str
    rejects_path: str
    rejects_sha256: str
    read: int
    embedded: int
    reused: int
    rejected: int
    duplicates: int
    reasons: Mapping[str, int]
    damaged: str | None
    bytes: int
    seconds: Mapping[str, float]


def embeddings_folder(store: str, fingerprint: str) -> str:
    """Where a store keeps the embedding files of an encoder."""
    return files.join(store, "embeddings", fingerprint[:16])


def embedding_schema(dim: int, metadata: Mapping[str, str]) -> pa.Schema:
    """The columns of an embedding file for vectors of `dim` and the configured metadata (name -> type)."""
    return pa.schema(
        [
            pa.field("item_id", pa.string(), nullable=False),
            pa.field(
                "embedding", pa.list_(pa.field("element", pa.float32(), nullable=False), dim), nullable=False
            ),
            pa.field("content_hash", pa.string(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            *(pa.field(name, ARROW_TYPES[kind]) for name, kind in metadata.items()),
        ]
    )


def write_note(store: str, note: EmbeddedShard) -> EmbeddedShard:
    """Marks a shard as finished. Raises OSError.

    Returns:
        The note as it stands: if the same content was embedded before, that one's, with the new token. What a
        generation says of a shard then stays true.
    """
    path = files.join(store, note.path.removesuffix(".parquet") + ".json")
    if files.exists(path):
        with contextlib.suppress(ValueError, TypeError):
            before = EmbeddedShard(**json.loads(files.read_bytes(path)))
            if _says_the_same(before, note):
                note = replace(before, token=note.token)
    files.write_bytes(path, json.dumps(asdict(note), indent=1, sort_keys=True).encode())
    return note


def _says_the_same(before: EmbeddedShard, note: EmbeddedShard) -> bool:
    """Whether two notes agree in all but what depends on the run; one that was damaged does not."""
    of_the_run = ("token", "embedded", "reused", "bytes", "seconds")
    same = all(
        getattr(before, f.name) == getattr(note, f.name) for f in fields(note) if f.name not in of_the_run
    )
    return same and before.embedded + before.reused == note.embedded + note.reused


def finished_shards(store: str, fingerprint: str) -> list[EmbeddedShard]:
    """All notes of an encoder in a store whose files are there, the newest last.

    Raises:
        LookalikeError: if a note cannot be read as one.
    """
    listed = sorted(
        files.list_files(embeddings_folder(store, fingerprint)), key=lambda file: float(file.modified)
    )
    names = {file.path for file in listed}
    bases = [file.path.removesuffix(".json") for file in listed if file.path.endswith(".json")]
    finished = [base for base in bases if {f"{base}.parquet", f"{base}.rejects.parquet"} <= names]
    if not files.is_remote(store):
        return [_read_note(f"{base}.json") for base in finished]
    with ThreadPoolExecutor(32) as pool:  # each takes a request's time, whatever it holds
        return list(pool.map(lambda base: _read_note(f"{base}.json"), finished))


def _read_note(path: str) -> EmbeddedShard:
    try:
        return EmbeddedShard(**json.loads(files.read_bytes(path)))
    except (ValueError, TypeError):
        raise LookalikeError(
            f"{path} is not a finished shard's note; delete it to have the shard embedded again"
        ) from None


def reject_row(shard: str, reject: Reject) -> tuple[Any, ...]:
    """What `REJECTS_SCHEMA` holds of a reject."""
    return reject.item_id, shard, reject.position, reject.stage, reject.error


def table_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Rows, each in the order of the columns, as a table; there may be none."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def read_rejects(store: str, notes: Sequence[EmbeddedShard]) -> Iterator[dict[str, Any]]:
    """The rows of all rejects files, in order."""
    for note in notes:
        with files.open_read(files.join(store, note.rejects_path)) as file:
            yield from pq.read_table(file).to_pylist()


def totals(notes: Iterable[EmbeddedShard]) -> Counter[str]:
    """The counts of all shards, added up."""
    total: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for note in notes:
        total.update({name: getattr(note, name) for name in COUNTS})
    return total


def reasons_of(notes: Iterable[EmbeddedShard]) -> Counter[str]:
    """Stage of rejection -> records, of all shards together."""
    reasons: Counter[str] = Counter()
    for note in notes:
        reasons.update(note.reasons)
    return reasons


def stage_seconds(notes: Sequence[EmbeddedShard]) -> dict[str, float]:
    """Stage -> seconds of work, of all shards together; decoding and network run on all cores at once."""
    stages = ("read", "decode", "network", "write")
    return {stage: sum(note.seconds.get(stage, 0.0) for note in notes) for stage in stages}
