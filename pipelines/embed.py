"""The embedding job: each image shard that has no embedding file yet becomes one, on Beam."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from model.encoder import BATCH, EncodedBatch, Encoder, cores
from model.errors import LookalikeError
from pipelines import files, progress
from pipelines.config import Config
from pipelines.embeddings import COUNTS, DUPLICATE, EmbeddedShard, EmbeddingWriter, write_note
from pipelines.plan import Plan, make_plan
from pipelines.records import Record, Reject
from pipelines.runner import counters, run_pipeline, workers_on_this_machine
from pipelines.sources import Shard, SourceOptions, read_shard

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedTask:
    """What a worker needs besides the shard.

    Attributes:
        store: folder of the store.
        encoder: folder of the encoder bundle.
        fingerprint: what the encoder's fingerprint must be.
        options: how shards are read.
        options_digest: its digest, a part of the embedding file's name.
        max_pixels: larger images are refused.
        threads: threads a worker process; None is one for each core.
        run_folder: where progress is noted.
    """

    store: str
    encoder: str
    fingerprint: str
    options: SourceOptions
    options_digest: str
    max_pixels: int
    threads: int | None
    run_folder: str


@functools.lru_cache(maxsize=1)
def _load(folder: str, threads: int | None, max_pixels: int) -> Encoder:
    return Encoder.load(folder, threads=threads, max_pixels=max_pixels)


_one_at_a_time = threading.Lock()


def open_encoder(folder: str, threads: int | None, max_pixels: int) -> Encoder:
    """The encoder of this process: loaded once, however many DoFns and threads ask."""
    with _one_at_a_time:
        return _load(folder, threads, max_pixels)


class _ShardWork:
    """One shard on its way: what has been read and encoded of it so far."""

    def __init__(self, shard: Shard, task: EmbedTask, dim: int) -> None:
        self.shard = shard
        self.reading = True
        self.batches = 0
        self._task = task
        self._writer = EmbeddingWriter(task.store, shard.name, task.fingerprint, dim, task.options.metadata)
        self._digest = hashlib.sha256()
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._seconds = dict.fromkeys(("read", "decode", "network", "write"), 0.0)
        self._damaged: str | None = None

    def batches_to_encode(self) -> Iterator[list[tuple[Record, str]]]:
        """Reads the shard; gives (record, image digest) in batches, and keeps what cannot be embedded."""
        batch: list[tuple[Record, str]] = []
        entries = read_shard(self.shard, self._task.options)
        while True:
            started = time.perf_counter()
            entry = next(entries, None)
            if isinstance(entry, Record):
                content = hashlib.sha256(entry.image).hexdigest()
                metadata = [entry.metadata.get(name) for name in self._task.options.metadata]
                self._digest.update(json.dumps([entry.item_id, content, metadata]).encode() + b"\n")
                self._seconds["read"] += time.perf_counter() - started
                self._counts["read"] += 1
                if entry.item_id in self._seen:
                    error = "the id occurred before in this shard"
                    self._reject(Reject(entry.item_id, entry.position, DUPLICATE, error))
                else:
                    self._seen.add(entry.item_id)
                    batch.append((entry, content))
            elif entry is not None:
                self._digest.update(json.dumps([entry.item_id, entry.position, entry.error]).encode() + b"\n")
                self._counts["read"] += 1
                self._reject(entry)
                self._damaged = entry.error if entry.ends_shard else self._damaged
            if len(batch) == BATCH or (entry is None and batch):
                self.batches += 1
                yield batch
                batch = []
            if entry is None:
                self.reading = False
                return

    def add(self, batch: Sequence[tuple[Record, str]], encoded: EncodedBatch) -> None:
        """Takes a batch's vectors and errors, in the order of the shard."""
        started = time.perf_counter()
        self.batches -= 1
        self._seconds["decode"] += encoded.decode_seconds
        self._seconds["network"] += encoded.network_seconds
        for i, (record, content) in enumerate(batch):
            if i in encoded.errors:
                stage = "encode" if encoded.sizes[i].any() else "decode"
                self._reject(Reject(record.item_id, record.position, stage, encoded.errors[i]))
                continue
            self._counts["embedded"] += 1
            width, height = encoded.sizes[i].tolist()
            metadata = (record.metadata.get(name) for name in self._task.options.metadata)
            self._writer.add((record.item_id, content, width, height, *metadata), encoded.vectors[i])
        self._seconds["write"] += time.perf_counter() - started

    def _reject(self, reject: Reject) -> None:
        self._counts["duplicates" if reject.stage == DUPLICATE else "rejected"] += 1
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
            read=self._counts["read"],
            embedded=self._counts["embedded"],
            reused=0,
            rejected=self._counts["rejected"],
            duplicates=self._counts["duplicates"],
            reasons=dict(self._reasons),
            damaged=self._damaged,
            bytes=self.shard.size,
            seconds={stage: round(seconds, 4) for stage, seconds in self._seconds.items()},
        )
        write_note(self._task.store, note)
        return note

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._writer.abandon()


class EmbedShards(beam.DoFn):
    """Shard -> its embedding file; gives the name of each finished shard.

    Batches of all open shards wait in one queue, so that the cores have work while one shard is written and
    the next is opened; at most three batches a thread are under way, so memory does not grow with a shard.
    """

    def __init__(self, task: EmbedTask) -> None:
        self._task = task
        self._waiting: deque[tuple[_ShardWork, list[tuple[Record, str]], Future[EncodedBatch]]] = deque()

    def setup(self) -> None:
        task = self._task
        self._encoder = open_encoder(task.encoder, task.threads, task.max_pixels)
        if self._encoder.fingerprint != task.fingerprint:
            raise LookalikeError(
                f"The encoder changed while the job ran. Expected {task.fingerprint[:16]}. "
                f"Received: {self._encoder.fingerprint[:16]} in {task.encoder}"
            )
        self._progress = progress.WorkerNote(task.run_folder)

    def process(self, shard: Shard) -> Iterator[str]:
        with _as_sentences(shard.name):
            work = _ShardWork(shard, self._task, self._encoder.dim)
        try:
            with _as_sentences(shard.name):
                for batch in work.batches_to_encode():
                    images = [record.image for record, _ in batch]
                    self._waiting.append((work, batch, self._encoder.submit(images)))
                    self._progress.add(images=len(images), work=sum(map(len, images)))
                    while len(self._waiting) > 3 * self._encoder.threads:
                        yield from self._settle_oldest()
                if not work.batches:
                    yield self._finish(work)
        except BaseException:
            self._abandon(work)
            raise

    def finish_bundle(self) -> Iterator[WindowedValue]:
        try:
            while self._waiting:
                with _as_sentences(self._waiting[0][0].shard.name):
                    for name in self._settle_oldest():
                        yield GlobalWindows.windowed_value(name)
        except BaseException:
            self._abandon()
            raise
        self._progress.write()

    def _settle_oldest(self) -> Iterator[str]:
        # It stays in the queue until it is settled, where `_abandon` finds it.
        work, batch, future = self._waiting[0]
        work.add(batch, future.result())
        finished = [self._finish(work)] if not work.reading and not work.batches else []
        self._waiting.popleft()
        yield from finished

    def _finish(self, work: _ShardWork) -> str:
        note = work.finish()
        for name in COUNTS:
            Metrics.counter("embed", name).inc(getattr(note, name))
        self._progress.add(shards=1)
        return note.shard

    def _abandon(self, *works: _ShardWork) -> None:
        for work in {*works, *(work for work, _, _ in self._waiting)}:
            work.abandon()
        self._waiting.clear()


@contextlib.contextmanager
def _as_sentences(shard: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LookalikeError(f"{shard}: {files.reason(error)}") from error


@dataclass(frozen=True)
class EmbedSummary:
    """What an embedding run did.

    Attributes:
        plan: the corpus, every shard finished.
        embedded: notes of the shards embedded by this run, in order.
        skipped: number of shards that were finished before.
        seconds: wall-clock time of the pipeline.
    """

    plan: Plan
    embedded: tuple[EmbeddedShard, ...]
    skipped: int
    seconds: float


def embed(config: Config, flags: Sequence[str] = ()) -> EmbedSummary:
    """Embeds every shard of the corpus that is not embedded yet.

    Args:
        config: the job.
        flags: Beam's flags.

    Raises:
        LookalikeError: for what the user can mend.
    """
    plan = make_plan(config)
    missing = plan.missing
    if not missing:
        return EmbedSummary(plan, (), len(plan.shards), 0.0)
    run_folder = files.join(progress.runs_folder(config.store), uuid.uuid4().hex)
    threads = config.embed.threads
    if threads is None and (workers := workers_on_this_machine(flags)) > 1:
        threads = max(1, cores() // workers)
    task = EmbedTask(
        store=config.store,
        encoder=config.encoder,
        fingerprint=plan.fingerprint,
        options=config.corpus.source_options(),
        options_digest=plan.options_digest,
        max_pixels=config.corpus.max_pixels,
        threads=threads,
        run_folder=run_folder,
    )

    def build(pipeline: beam.Pipeline) -> None:
        shards = pipeline | "Shards" >> beam.Create(missing) | "Spread" >> beam.Reshuffle()
        _ = shards | "Embed" >> beam.ParDo(EmbedShards(task))

    started = time.perf_counter()
    with progress.shown("embedding", run_folder, len(missing), sum(s.size for s in missing), "images"):
        result = run_pipeline(build, flags)
    seconds = time.perf_counter() - started
    logger.debug("counters of the run: %s", counters(result))
    done = make_plan(config)
    names = {shard.name for shard in missing}
    if changed := [shard.name for shard in done.missing]:
        raise LookalikeError(f"Shards changed while they were read, run again: {', '.join(changed[:5])}")
    embedded = tuple(note for note in done.notes if note.shard in names)
    return EmbedSummary(done, embedded, len(plan.finished), seconds)
