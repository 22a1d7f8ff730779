"""The embedding file of one image shard, its rejects, and the note that says both are finished.

Three files share a name made from the shard's content, the encoder and the reader's options:
`NAME.parquet`, `NAME.rejects.parquet` and, written last, `NAME.json`. Without the last the others do not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.digests import sha256_file, sha256_json
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
ROW_GROUP = 8192
"""Rows that are held in memory before they are written: 8 MiB of 256-dimensional vectors."""
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


class EmbeddingWriter:
    """Writes the files of one shard: rows as they come, names when all is known, the note last.

    Args:
        store: folder of the store.
        shard: name of the image shard.
        encoder: fingerprint.
        dim: length of a vector.
        metadata: configured fields, name -> type.
    """

    def __init__(self, store: str, shard: str, encoder: str, dim: int, metadata: Mapping[str, str]) -> None:
        self._store, self._shard, self._encoder = store, shard, encoder
        self._schema = embedding_schema(dim, metadata)
        self._dim = dim
        self._rows: list[tuple[Any, ...]] = []
        self._vectors: list[np.ndarray] = []
        self._rejects: list[Reject] = []
        folder = embeddings_folder(store, encoder)
        if not files.is_remote(folder):
            os.makedirs(folder, exist_ok=True)
        # The name depends on the digest of the whole shard, which is known only after its last record.
        descriptor, self._temporary = tempfile.mkstemp(
            prefix=f".embedding{files.TEMPORARY}", dir=None if files.is_remote(folder) else folder
        )
        os.close(descriptor)
        codecs = {field.name: "zstd" for field in self._schema} | {"embedding.list.element": "none"}
        self._writer = pq.ParquetWriter(
            self._temporary, self._schema, compression=codecs, use_dictionary=list(metadata)
        )

    def add(self, row: Sequence[Any], vector: np.ndarray) -> None:
        """Adds a record: `row` is item_id, content_hash, width, height and the metadata values."""
        self._rows.append(tuple(row))
        self._vectors.append(vector)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def reject(self, reject: Reject) -> None:
        """Adds a record that did not become an embedding."""
        self._rejects.append(reject)

    def _flush(self) -> None:
        item_id, *rest = zip(*self._rows, strict=True)
        vectors = pa.array(np.concatenate(self._vectors).astype(np.float32, copy=False))
        embedding = pa.FixedSizeListArray.from_arrays(vectors, type=self._schema.field("embedding").type)
        fields = [f for f in self._schema if f.name not in ("item_id", "embedding")]
        arrays = [pa.array(values, f.type) for values, f in zip(rest, fields, strict=True)]
        self._writer.write_table(
            pa.Table.from_arrays([pa.array(item_id, pa.string()), embedding, *arrays], schema=self._schema)
        )
        self._rows, self._vectors = [], []

    def close(self, digest: str, options: str) -> dict[str, str]:
        """Finishes the embedding and rejects files and gives them their names.

        Args:
            digest: of the shard's records.
            options: digest of the reader's options.

        Returns:
            The fields of `EmbeddedShard` that tell where the files are and what is in them.

        Raises:
            OSError: if the store cannot be written.
        """
        if self._rows:
            self._flush()
        facts = {"encoder": self._encoder, "shard": self._shard, "shard_digest": digest}
        self._writer.add_key_value_metadata({f"lookalike.{key}": value for key, value in facts.items()})
        self._writer.close()
        key = sha256_json([self._shard, digest, self._encoder, options])[:16]
        base = f"embeddings/{self._encoder[:16]}/{_slug(self._shard)}-{key}"
        sha256 = sha256_file(self._temporary)
        files.move_in(self._temporary, files.join(self._store, f"{base}.parquet"))
        # Sorted, because more threads reject in another order.
        rejects = sorted(self._rejects, key=lambda reject: reject.position)
        rows = [(r.item_id, self._shard, r.position, r.stage, r.error) for r in rejects]
        columns = list(zip(*rows, strict=True)) or [()] * len(REJECTS_SCHEMA)
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns, schema=REJECTS_SCHEMA), buffer, compression="zstd")
        files.write_bytes(files.join(self._store, f"{base}.rejects.parquet"), buffer.getvalue())
        return {
            "shard": self._shard,
            "encoder": self._encoder,
            "digest": digest,
            "options": options,
            "path": f"{base}.parquet",
            "sha256": sha256,
            "rejects_path": f"{base}.rejects.parquet",
            "rejects_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }

    def abandon(self) -> None:
        """Deletes the unfinished file."""
        with contextlib.suppress(Exception):
            self._writer.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)


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


class KnownVectors:
    """The vectors of a shard's earlier embedding file, by the digest of the image.

    Args:
        store: folder of the store.
        note: the earlier embedding file; None for a shard that is new.
    """

    def __init__(self, store: str, note: EmbeddedShard | None) -> None:
        self._rows: dict[str, int] = {}
        if note is None:
            return
        try:
            data = files.read_bytes(files.join(store, note.path))
        except FileNotFoundError:
            return
        if files.sha256_bytes(data) != note.sha256:
            logger.warning("%s is damaged and not used again: its images are embedded anew", note.path)
            return
        columns = ["content_hash", "embedding", "width", "height"]
        table = pq.read_table(pa.BufferReader(data), columns=columns).combine_chunks()
        self._rows = {digest: row for row, digest in enumerate(table["content_hash"].to_pylist())}
        embedding = table["embedding"].combine_chunks()
        self._vectors = embedding.flatten().to_numpy().reshape(len(table), embedding.type.list_size)
        self._sizes = np.column_stack([table["width"].to_numpy(), table["height"].to_numpy()])

    def get(self, content: str) -> tuple[np.ndarray, list[int]] | None:
        """The vector, float32 (dim,), and [width, height] of an image; None if it is not known."""
        row = self._rows.get(content)
        return None if row is None else (self._vectors[row], self._sizes[row].tolist())


def _slug(shard: str) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(shard.rstrip("/")))
    return base.strip("-.")[:80] or "shard"


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


def read_rejects(store: str, notes: Sequence[EmbeddedShard]) -> Iterator[dict[str, Any]]:
    """The rows of all rejects files, in order."""
    for note in notes:
        with files.open_read(files.join(store, note.rejects_path)) as file:
            yield from pq.read_table(file).to_pylist()
