"""One image shard on its way to an embedding file: read in batches, written batch by batch, finished."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES, EncodedBatch

from ..filesystem import files
from ..sources import Shard, SourceOptions
from ..sources.records import DUPLICATE, Reject
from ..store.notes import EmbeddedShard, write_note
from .attempts import begin, end
from .known import Embedding, KnownEmbeddings
from .outcomes import run_file
from .reading import Entry, ShardReading
from .recorded import RecordedReading, all_known
from .writer import EmbeddingWriter

MOST_ROWS = 512
"""Records in a batch, most of them with a known vector and so without an image to wait for."""
NO_IMAGES = EncodedBatch(np.empty((0, 0), np.float32), {}, np.empty((0, 2), np.int32), 0.0, 0.0)
"""What becomes of the images of a batch that has none."""


@dataclass(frozen=True)
class EmbedTask:
    """What a worker needs besides the shard.

    Attributes:
        store: folder of the store.
        encoder: folder of the encoder bundle, in the store.
        fingerprint: what the encoder's fingerprint must be.
        dim: length of a vector.
        options: how shards are read.
        options_digest: its digest, a part of the embedding file's name.
        max_pixels: larger images are refused.
        threads: threads a worker process; None is one for each core.
        run_folder: where a run keeps outcomes, contents, what is known of them, and notes of progress.
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

    @property
    def progress_folder(self) -> str:
        """Where workers note how far they are."""
        return files.join(self.run_folder, "progress")


@dataclass(frozen=True, slots=True)
class Row:
    """A record on its way: what its row in the embedding file holds, and where the embedding comes from.

    Attributes:
        item_id: of the record.
        position: its place in the shard.
        content_hash: SHA-256 of its image, in hexadecimal.
        metadata: the configured fields' values, in their order.
        known: the embedding that an earlier file holds for the same image, if one does.
        image: without that, the place of its image in `Batch.images`; else -1.
    """

    item_id: str
    position: int
    content_hash: str
    metadata: list[Any]
    known: Embedding | None
    image: int


@dataclass
class Batch:
    """Some records of a shard, in order.

    Attributes:
        rows: the records; at most `MOST_ROWS`.
        images: those of the rows whose embedding is not known, in order; at most `BATCH`.
        size: bytes of the images.
        is_last: whether the shard holds no more.
    """

    rows: list[Row] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    size: int = 0
    is_last: bool = False

    def add(self, entry: Entry, known: Embedding | None) -> None:
        """Adds a record, and its image if that must be encoded."""
        image = len(self.images) if known is None else -1
        self.rows.append(Row(entry.item_id, entry.position, entry.content_hash, entry.metadata, known, image))
        if known is None:
            self.images.append(entry.image)
            self.size += len(entry.image)

    @property
    def is_full(self) -> bool:
        """Whether there is room for no other record."""
        return len(self.images) == BATCH or len(self.rows) == MOST_ROWS or self.size > BATCH_BYTES


class ShardWork:
    """One shard and all that is noted of it until its embedding file is finished.

    Args:
        shard: the shard.
        task: how it is read, and where its files go.

    Attributes:
        shard: the shard.
        counts: records read, embedded, reused, rejected and duplicates so far.
    """

    def __init__(self, shard: Shard, task: EmbedTask) -> None:
        self.shard = shard
        self.counts: Counter[str] = Counter()
        self._task = task
        self._known = KnownEmbeddings(run_file(task.run_folder, "known", shard), task.dim)
        self._writer = EmbeddingWriter(
            task.store, shard.name, task.fingerprint, task.dim, task.options.metadata
        )
        self._reading: ShardReading | RecordedReading = ShardReading(shard, task.options)
        if all_known(task.run_folder, shard, task.dim):
            self._reading = RecordedReading(run_file(task.run_folder, "contents", shard))
        self._reasons: Counter[str] = Counter()
        self._seconds = dict.fromkeys(("read", "decode", "network", "write"), 0.0)

    @functools.cached_property
    def suspect(self) -> bool:
        """Whether a picture of the shard may have ended a worker; asked before the first is decoded. Raises OSError."""
        return begin(self._task.store, self.shard)

    def batches(self) -> Iterator[Batch]:
        """Reads the shard; gives at least one batch, of which the last says so.

        Raises:
            NotAsListedError: if it is not the shard that was listed.
            OSError: if the file system fails otherwise.
        """
        entries = iter(self._reading)
        while True:
            with self._timed("read"):
                batch = self._next_batch(entries)
            yield batch
            if batch.is_last:
                return

    def _next_batch(self, entries: Iterator[Entry | Reject]) -> Batch:
        batch = Batch()
        for entry in entries:
            self.counts["read"] += 1
            if isinstance(entry, Reject):
                self._reject(entry)
                continue
            batch.add(entry, self._known.get(entry.position, entry.content_hash))
            if batch.is_full:
                return batch
        batch.is_last = True
        return batch

    def _reject(self, reject: Reject) -> None:
        self.counts["duplicates" if reject.stage == DUPLICATE else "rejected"] += 1
        self._reasons[reject.stage] += 1
        self._writer.reject(reject)

    def write(self, batch: Batch, encoded: EncodedBatch) -> None:
        """Writes the rows of the oldest batch that is not written yet. Raises OSError.

        Args:
            batch: one of `batches`.
            encoded: what became of `batch.images`.
        """
        with self._timed("write"):
            for row in batch.rows:
                if row.known is not None:
                    self._write_row(row, row.known, "reused")
                    continue
                size = encoded.sizes[row.image].tolist()
                if row.image in encoded.errors:
                    stage = "encode" if any(size) else "decode"
                    self._reject(Reject(row.item_id, row.position, stage, encoded.errors[row.image]))
                else:
                    self._write_row(row, Embedding(encoded.vectors[row.image], size), "embedded")
        self._seconds["decode"] += encoded.decode_seconds
        self._seconds["network"] += encoded.network_seconds

    def _write_row(self, row: Row, embedding: Embedding, count: str) -> None:
        self.counts[count] += 1
        self._writer.add((row.item_id, row.content_hash, *embedding.size, *row.metadata), embedding.vector)

    def finish(self) -> EmbeddedShard:
        """Writes the files and, last, the note; whole files of this content stay. Raises OSError."""
        with self._timed("write"):
            written = self._writer.close(self._reading.digest, self._task.options_digest)
        note = EmbeddedShard(
            **written,
            token=self.shard.token,
            read=self.counts["read"],
            embedded=self.counts["embedded"],
            reused=self.counts["reused"],
            rejected=self.counts["rejected"],
            duplicates=self.counts["duplicates"],
            reasons=dict(self._reasons),
            damaged=self._reading.damaged,
            bytes=self.shard.size,
            seconds={stage: round(seconds, 4) for stage, seconds in self._seconds.items()},
        )
        write_note(self._task.store, note)
        self._end_attempt()
        return note

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._writer.abandon()
        with contextlib.suppress(OSError):
            self._end_attempt()

    def _end_attempt(self) -> None:
        if "suspect" in vars(self):
            end(self._task.store, self.shard)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds[stage] += time.perf_counter() - started
