"""An embedding file and its rejects on their way to the store."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.digests import sha256_file

from ..filesystem import files
from ..filesystem.naming import naming
from ..sources.records import Reject
from ..store.notes import (
    REJECTS_SCHEMA,
    base_path,
    earlier_note,
    embedding_schema,
    embeddings_folder,
    is_whole,
    reject_row,
    rejects_of,
    slug,
    table_of,
)

ROW_GROUP = 8192
"""Rows that are held in memory before they are written: 8 MiB of 256-dimensional vectors."""


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
        self._rows: list[tuple[Any, ...]] = []
        self._vectors: list[np.ndarray] = []
        self._written = 0
        self._rejects: list[Reject] = []
        folder = embeddings_folder(store, encoder)
        if not files.is_remote(folder):
            files.make_folder(folder)
        # The name depends on the digest of the whole shard, which is known only after its last record.
        descriptor, self._temporary = tempfile.mkstemp(
            prefix=f".{slug(shard)}{files.TEMPORARY}", dir=None if files.is_remote(folder) else folder
        )
        os.close(descriptor)
        codecs = {field.name: "zstd" for field in self._schema} | {"embedding.list.element": "none"}
        try:
            with naming(self._temporary):
                self._writer = pq.ParquetWriter(
                    self._temporary, self._schema, compression=codecs, use_dictionary=list(metadata)
                )
        except BaseException:
            os.unlink(self._temporary)
            raise

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
        table = pa.Table.from_arrays(
            [pa.array(item_id, pa.string()), embedding, *arrays], schema=self._schema
        )
        with naming(self._temporary):
            self._writer.write_table(table)
        self._written += len(self._rows)
        self._rows, self._vectors = [], []

    def close(self, digest: str, options: str) -> dict[str, str]:
        """Finishes the embedding and rejects files and gives them their names; whole ones of this content stay.

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
        with naming(self._temporary):
            self._writer.close()
        base = base_path(self._shard, digest, self._encoder, options)
        before = earlier_note(self._store, self._shard, digest, self._encoder, options)
        # A generation may name what is there, and other versions of pyarrow write other bytes.
        if (
            before
            and before.embedded + before.reused == self._written
            and is_whole(self._store, before.path, before.sha256)
        ):
            os.unlink(self._temporary)
            sha256 = before.sha256
        else:
            sha256 = sha256_file(self._temporary)
            files.move_in(self._temporary, files.join(self._store, f"{base}.parquet"))
        if (
            before
            and before.rejected + before.duplicates == len(self._rejects)
            and is_whole(self._store, before.rejects_path, before.rejects_sha256)
        ):
            rejects_path, rejects_sha256 = before.rejects_path, before.rejects_sha256
        else:
            rejects_path = rejects_of(f"{base}.parquet")
            rejects_sha256 = self._write_rejects(rejects_path)
        return {
            "shard": self._shard,
            "encoder": self._encoder,
            "digest": digest,
            "options": options,
            "path": f"{base}.parquet",
            "sha256": sha256,
            "rejects_path": rejects_path,
            "rejects_sha256": rejects_sha256,
        }

    def _write_rejects(self, path: str) -> str:
        # Sorted, because more threads reject in another order.
        rejects = sorted(self._rejects, key=lambda reject: reject.position)
        table = table_of([reject_row(self._shard, reject) for reject in rejects], REJECTS_SCHEMA)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        files.write_bytes(files.join(self._store, path), buffer.getvalue())
        return files.sha256_bytes(buffer.getvalue())

    def abandon(self) -> None:
        """Deletes the unfinished file."""
        with contextlib.suppress(Exception):
            self._writer.close()
        with contextlib.suppress(OSError):  # what made the work end is what is to be told
            os.unlink(self._temporary)
