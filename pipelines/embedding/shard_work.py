"""One image shard on its way to an embedding file: read, encoded, written."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lookalike.model.encoder.bundle import BATCH, EncodedBatch

from ..sources import Shard, SourceOptions, read_shard
from ..sources.records import Record, Reject
from ..store.notes import DUPLICATE, EmbeddedShard, write_note
from .writer import EmbeddingWriter, KnownVectors

MOST_ENTRIES = 512
"""Records in a batch, most of them with a known vector and so without an image to wait for."""


@dataclass(frozen=True)
class EmbedTask:
    """What a worker needs besides the shard.

    Attributes:
        store: folder of the store.
        encoder: folder of the encoder bundle.
        fingerprint: what the encoder's fingerprint must be.
        dim: length of a vector.
        options: how shards are read.
        options_digest: its digest, a part of the embedding file's name.
        max_pixels: larger images are refused.
        threads: threads a worker process; None is one for each core.
        run_folder: where progress is noted.
    """

    store: str
    encoder: str
    fingerprint: str
    dim: int
    options: SourceOptions
    options_digest: str
    max_pixels: int
    threads: int | None
    run_folder: str


class Entry(NamedTuple):
    """A record without its image: what its row needs, and its vector and size if they are known."""

    item_id: str
    position: int
    content: str
    metadata: list[Any]
    known: tuple[np.ndarray, list[int]] | None


@dataclass(frozen=True)
class Batch:
    """Some records of a shard, in order, and the images of those whose vector is not known."""

    entries: list[Entry] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)


class ShardWork:
    """One shard: what has been read and encoded of it so far.

    Attributes:
        shard: the shard.
        reading: whether there is more to read.
        waiting: batches that were given out and have not come back.
    """

    def __init__(self, shard: Shard, task: EmbedTask, earlier: EmbeddedShard | None) -> None:
        self.shard = shard
        self.reading = True
        self.waiting = 0
        self._task = task
        self._known = KnownVectors(task.store, earlier)
        self._writer = EmbeddingWriter(
            task.store, shard.name, task.fingerprint, task.dim, task.options.metadata
        )
        self._digest = hashlib.sha256()
        self._seen: set[str] = set()
        self._reasons: Counter[str] = Counter()
        self._seconds = dict.fromkeys(("read", "decode", "network", "write"), 0.0)
        self._damaged: str | None = None
        self.counts: Counter[str] = Counter()

    def batches(self) -> Iterator[Batch]:
        """Reads the shard; gives batches of at most `BATCH` images, and keeps what cannot be embedded."""
        batch = Batch()
        started = time.perf_counter()
        for record in read_shard(self.shard, self._task.options):
            self.counts["read"] += 1
            if isinstance(record, Reject):
                self._digest_of([record.item_id, record.position, record.error])
                self._damaged = record.error if record.ends_shard else self._damaged
                self._reject(record)
                continue
            self._take(record, batch)
            if len(batch.images) == BATCH or len(batch.entries) == MOST_ENTRIES:
                self._seconds["read"] += time.perf_counter() - started
                self.waiting += 1
                yield batch
                batch = Batch()
                started = time.perf_counter()
        self._seconds["read"] += time.perf_counter() - started
        self.reading = False
        if batch.entries:
            self.waiting += 1
            yield batch

    def _take(self, record: Record, batch: Batch) -> None:
        content = hashlib.sha256(record.image).hexdigest()
        metadata = [record.metadata.get(name) for name in self._task.options.metadata]
        self._digest_of([record.item_id, content, metadata])
        if record.item_id in self._seen:
            error = "the id occurred before in this shard"
            self._reject(Reject(record.item_id, record.position, DUPLICATE, error))
            return
        self._seen.add(record.item_id)
        known = self._known.get(content)
        batch.entries.append(Entry(record.item_id, record.position, content, metadata, known))
        if known is None:
            batch.images.append(record.image)

    def _digest_of(self, record: list[Any]) -> None:
        self._digest.update(json.dumps(record).encode() + b"\n")

    def add(self, batch: Batch, encoded: EncodedBatch) -> None:
        """Takes the vectors and errors of a batch's images, in the order of the shard."""
        started = time.perf_counter()
        self.waiting -= 1
        self._seconds["decode"] += encoded.decode_seconds
        self._seconds["network"] += encoded.network_seconds
        images = iter(range(len(batch.images)))
        for entry in batch.entries:
            if entry.known is not None:
                vector, (width, height) = entry.known
            else:
                i = next(images)
                width, height = encoded.sizes[i].tolist()
                if i in encoded.errors:
                    stage = "encode" if width else "decode"
                    self._reject(Reject(entry.item_id, entry.position, stage, encoded.errors[i]))
                    continue
                vector = encoded.vectors[i]
            self.counts["embedded" if entry.known is None else "reused"] += 1
            self._writer.add((entry.item_id, entry.content, width, height, *entry.metadata), vector)
        self._seconds["write"] += time.perf_counter() - started

    def _reject(self, reject: Reject) -> None:
        self.counts["duplicates" if reject.stage == DUPLICATE else "rejected"] += 1
        self._reasons[reject.stage] += 1
        self._writer.reject(reject)

    def finish(self) -> EmbeddedShard:
        """Writes the files and, last, the note. Raises OSError."""
        started = time.perf_counter()
        written = self._writer.close(self._digest.hexdigest(), self._task.options_digest)
        self._seconds["write"] += time.perf_counter() - started
        note = EmbeddedShard(
            **written,
            token=self.shard.token,
            read=self.counts["read"],
            embedded=self.counts["embedded"],
            reused=self.counts["reused"],
            rejected=self.counts["rejected"],
            duplicates=self.counts["duplicates"],
            reasons=dict(self._reasons),
            damaged=self._damaged,
            bytes=self.shard.size,
            seconds={stage: round(seconds, 4) for stage, seconds in self._seconds.items()},
        )
        return write_note(self._task.store, note)

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._writer.abandon()
