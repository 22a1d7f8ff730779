"""The embedding file of one image shard, its rejects, and the note that says both are finished.

Three files share a name made from the shard's content, the encoder and the reader's options: `NAME.parquet`,
`rejects/NAME.parquet` and, written last, `NAME.json`. Without the last the others do not count. Rejects have a folder
of their own, so that `*.parquet` is all embedding files and nothing else.

Notes have carried a format since the second one; those of the first name shards as they were listed, and of those up to
the second the rejects lie beside, as `NAME.rejects.parquet`. What is there stays where it is.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError
from lookalike.model.printable import masked

from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..sources.records import Reject
from ..sources.types import arrow_type

FORMAT = 3
"""Of the notes that are written; older ones are read."""
REJECTS_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("shard", pa.string()),
        ("position", pa.int64()),
        ("stage", pa.string()),
        ("error", pa.string()),
    ]
)
_REJECTS = "rejects"
_ENDING = re.compile(r"(\.rejects\.parquet|\.parquet|\.json)$")
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


_NOTE = pydantic.TypeAdapter(EmbeddedShard)


def embeddings_folder(store: str, fingerprint: str) -> str:
    """Where a store keeps the embedding files of an encoder."""
    return files.join(store, "embeddings", fingerprint[:16])


def rejects_of(path: str) -> str:
    """Where the rejects of an embedding file lie, both relative to the store.

    >>> rejects_of("embeddings/e/a-1.parquet")
    'embeddings/e/rejects/a-1.parquet'
    """
    folder, _, name = path.rpartition("/")
    return f"{folder}/{_REJECTS}/{name}"


def rejects_beside(path: str) -> str:
    """Where those of notes up to format 2 lie."""
    return f"{path.removesuffix('.parquet')}.rejects.parquet"


def embedding_of(path: str) -> str:
    """The embedding file that one of a shard's three files belongs to, finished or not; the shape of the path stays.

    >>> [embedding_of(f"embeddings/e/{name}") for name in ("a.json", "a.rejects.parquet", "rejects/a.parquet")]
    ['embeddings/e/a.parquet', 'embeddings/e/a.parquet', 'embeddings/e/a.parquet']
    """
    folder, _, name = path.rpartition("/")
    return f"{folder.removesuffix(f'/{_REJECTS}')}/{_ENDING.sub('', name)}.parquet"


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
            *(pa.field(name, arrow_type(kind)) for name, kind in metadata.items()),
        ]
    )


def base_path(shard: str, digest: str, encoder: str, options: str) -> str:
    """The name that a shard's three files share, relative to the store and without an ending."""
    key = sha256_json([shard, digest, encoder, options])[:16]
    return f"embeddings/{encoder[:16]}/{slug(shard)}-{key}"


def slug(shard: str) -> str:
    """What a shard's files are called by: its base name, in letters that every file system takes."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(shard.rstrip("/")))
    return base.strip("-.")[:80] or "shard"


def write_note(store: str, note: EmbeddedShard) -> None:
    """Marks a shard as finished. Raises OSError."""
    data = json.dumps({"format": FORMAT, **asdict(note)}, indent=1, sort_keys=True).encode()
    files.write_bytes(_beside(store, note.path), data)


def _beside(store: str, path: str) -> str:
    return files.join(store, note_path(path))


def note_path(path: str) -> str:
    """Where the note of an embedding file lies, both relative to the store."""
    return path.removesuffix(".parquet") + ".json"


def adds_up(note: EmbeddedShard) -> bool:
    """Whether each record that was read has become one of the others."""
    return note.read == sum(getattr(note, name) for name in COUNTS[1:])


def earlier_note(store: str, shard: str, digest: str, encoder: str, options: str) -> EmbeddedShard | None:
    """The note of a shard of just this content, whether its files are still there or not; None without one.

    Raises:
        OSError: if the store cannot be read.
        LookalikeError: if a newer version wrote it.
    """
    path = f"{base_path(shard, digest, encoder, options)}.parquet"
    try:
        note = parse_note(files.read_bytes(_beside(store, path)), path)
    except (FileNotFoundError, DamagedNoteError):
        return None
    told = (note.shard, note.digest, note.encoder, note.options, note.path)
    return note if told == (shard, digest, encoder, options, path) else None


def standing_note(store: str, shard: str, digest: str, encoder: str, options: str) -> EmbeddedShard | None:
    """The note of a shard of just this content whose files are whole: it needs no work. None without one.

    Raises:
        OSError: if the store cannot be read.
        LookalikeError: if a newer version wrote it.
    """
    note = earlier_note(store, shard, digest, encoder, options)
    if (
        note
        and is_whole(store, note.path, note.sha256)
        and is_whole(store, note.rejects_path, note.rejects_sha256)
    ):
        return note
    return None


def is_whole(store: str, path: str, sha256: str) -> bool:
    """Whether a file of the store is there and what its digest says. Raises OSError."""
    try:
        return files.sha256(files.join(store, path)) == sha256
    except FileNotFoundError:
        return False


AGAIN = "delete it to have the shard embedded again"
"""What to do about a note that is wrong."""


class DamagedNoteError(LookalikeError):
    """A file in a note's place that is none."""


def parse_note(data: bytes, path: str) -> EmbeddedShard:
    """A note from its file's content; `path` is for the sentence.

    Raises:
        DamagedNoteError: if it is not a note.
        LookalikeError: if a newer version wrote it.
    """
    try:
        told = json.loads(data)
        written = told.get("format", 1)
        if isinstance(written, int) and written > FORMAT:
            raise LookalikeError(
                f"A newer Lookalike wrote this store: use that one, or another store. Expected notes up to format "
                f"{FORMAT}. Received: {written} in {path}"
            )
        return _NOTE.validate_json(data, strict=True)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise DamagedNoteError(f"{path} is not a finished shard's note; {AGAIN}") from None


def reject_row(shard: str, reject: Reject) -> tuple[Any, ...]:
    """What `REJECTS_SCHEMA` holds of a reject; its reason without secrets."""
    return reject.item_id, shard, reject.position, reject.stage, masked(reject.error)


def table_of(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Rows, each in the order of the columns, as a table; there may be none."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def read_rejects(store: str, notes: Sequence[EmbeddedShard]) -> Iterator[dict[str, Any]]:
    """The rows of all rejects files, in order."""
    for note in notes:
        path = files.join(store, note.rejects_path)
        with files.open_read(path) as file, damage_named(path):
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
