"""The embedding job: each image shard that has no embedding file yet becomes one, on Beam."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import EncodedBatch, Encoder
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..runner import progress
from ..runner.beam import counters, run_pipeline, workers_on_this_machine
from ..sources import Shard
from ..store.notes import COUNTS, EmbeddedShard
from .plan import Plan, make_plan
from .report import EmbedSummary
from .shard_work import Batch, EmbedTask, ShardWork


@dataclass(frozen=True)
class ShardToEmbed:
    """An element of the pipeline: a shard, and the embedding file of what it was before, if any."""

    shard: Shard
    earlier: EmbeddedShard | None


@functools.lru_cache(maxsize=1)
def _load(folder: str, fingerprint: str, threads: int, max_pixels: int) -> Encoder:
    encoder = Encoder.load(folder, threads=threads, max_pixels=max_pixels)
    if encoder.fingerprint != fingerprint:
        raise LookalikeError(
            f"The encoder changed while the job ran. Expected {fingerprint[:16]}. "
            f"Received: {encoder.fingerprint[:16]} in {folder}"
        )
    return encoder


_one_at_a_time = threading.Lock()


def open_encoder(task: EmbedTask, threads: int) -> Encoder:
    """The encoder of this process: loaded once, however many DoFns and threads ask."""
    with _one_at_a_time:
        return _load(task.encoder, task.fingerprint, threads, task.max_pixels)


class EmbedShards(beam.DoFn):
    """Shard -> its embedding file; gives the name of each finished shard.

    Batches of all open shards wait in one queue, so that the cores have work while one shard is written and
    the next is opened; at most three batches a thread are under way, so memory does not grow with a shard. The
    encoder is opened at the first image whose vector is not known.
    """

    def __init__(self, task: EmbedTask) -> None:
        self._task = task
        self._waiting: deque[tuple[ShardWork, Batch, Future[EncodedBatch]]] = deque()

    def setup(self) -> None:
        self._threads = self._task.threads or cores()
        self._progress = progress.WorkerNote(self._task.run_folder)

    def process(self, element: ShardToEmbed) -> Iterator[str]:
        shard = element.shard
        with _as_sentences(shard.name):
            work = ShardWork(shard, self._task, element.earlier)
        try:
            with _as_sentences(shard.name):
                for batch in work.batches():
                    self._waiting.append((work, batch, self._encoded(batch)))
                    read = sum(map(len, batch.images))
                    self._progress.add(images=len(batch.entries), work=read)
                    while len(self._waiting) > 3 * self._threads:
                        yield from self._settle_oldest()
                if not work.waiting:
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

    def _encoded(self, batch: Batch) -> Future[EncodedBatch]:
        if batch.images:
            return open_encoder(self._task, self._threads).submit(batch.images)
        done: Future[EncodedBatch] = Future()
        nothing = np.empty((0, self._task.dim), np.float32)
        done.set_result(EncodedBatch(nothing, {}, np.empty((0, 2), np.int32), 0.0, 0.0))
        return done

    def _settle_oldest(self) -> Iterator[str]:
        # It stays in the queue until it is settled, where `_abandon` finds it.
        work, batch, future = self._waiting[0]
        work.add(batch, future.result())
        finished = [self._finish(work)] if not work.reading and not work.waiting else []
        self._waiting.popleft()
        yield from finished

    def _finish(self, work: ShardWork) -> str:
        note = work.finish()
        for name in COUNTS:
            Metrics.counter("embed", name).inc(work.counts[name])
        self._progress.add(shards=1)
        return note.shard

    def _abandon(self, *works: ShardWork) -> None:
        for work in {*works, *(work for work, _, _ in self._waiting)}:
            work.abandon()
        self._waiting.clear()


@contextlib.contextmanager
def _as_sentences(shard: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LookalikeError(f"{shard}: {files.reason(error)}") from error


def embed(config: Config, plan: Plan, flags: Sequence[str] = ()) -> EmbedSummary:
    """Embeds every shard that is not finished.

    Args:
        config: the job.
        plan: the corpus as it is.
        flags: Beam's flags.

    Raises:
        LookalikeError: for what the user can mend.
    """
    missing = plan.missing
    run_folder = files.join(progress.runs_folder(config.store), uuid.uuid4().hex)
    threads = config.embed.threads
    if threads is None and (workers := workers_on_this_machine(flags)) > 1:
        threads = max(1, cores() // workers)
    task = EmbedTask(
        store=config.store,
        encoder=config.encoder,
        fingerprint=plan.fingerprint,
        dim=plan.dim,
        options=config.corpus.source_options(),
        options_digest=plan.options_digest,
        max_pixels=config.corpus.max_pixels,
        threads=threads,
        run_folder=run_folder,
    )
    elements = [ShardToEmbed(shard, plan.earlier.get(shard.name)) for shard in missing]

    def build(pipeline: beam.Pipeline) -> None:
        shards = pipeline | "Shards" >> beam.Create(elements) | "Spread" >> beam.Reshuffle()
        _ = shards | "Embed" >> beam.ParDo(EmbedShards(task))

    started = time.perf_counter()
    with progress.shown("embedding", run_folder, len(missing), sum(s.size for s in missing), "images"):
        result = run_pipeline(build, flags)
    seconds = time.perf_counter() - started
    done = make_plan(config, trust="metadata")
    if changed := [shard.name for shard in done.missing]:
        raise LookalikeError(f"Shards changed while they were read, run again: {', '.join(changed[:5])}")
    names = {shard.name for shard in missing}
    embedded = tuple(note for note in done.notes if note.shard in names)
    counts = dict.fromkeys(COUNTS, 0) | {k: v for k, v in counters(result).items() if k in COUNTS}
    return EmbedSummary(done, embedded, counts, seconds)
