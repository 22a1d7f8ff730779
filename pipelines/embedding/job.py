"""The embedding job: each image shard that has no embedding file yet becomes one, on Beam."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import EncodedBatch, Encoder
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..runner import progress
from ..runner.beam import counters, run_pipeline, workers_on_this_machine
from ..sources import Shard
from ..sources.fields import escape
from ..store.notes import COUNTS, EmbeddedShard
from .plan import Plan, make_plan
from .report import EmbedSummary
from .shard_work import NO_IMAGES, Batch, EmbedTask, ShardWork


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
    task = _task(config, plan, flags)
    elements = [ShardToEmbed(shard, plan.earlier.get(shard.name)) for shard in missing]

    def build(pipeline: beam.Pipeline) -> None:
        shards = pipeline | "Shards" >> beam.Create(elements) | "Spread" >> beam.Reshuffle()
        _ = shards | "Embed" >> beam.ParDo(EmbedShards(task))

    started = time.perf_counter()
    with progress.shown("embedding", task.run_folder, len(missing), sum(s.size for s in missing), "images"):
        result = run_pipeline(build, flags)
    seconds = time.perf_counter() - started
    done = make_plan(config, trust="metadata")
    if changed := [escape(shard.place) for shard in done.missing]:
        raise LookalikeError(f"Shards changed while they were read, run again: {', '.join(changed[:5])}")
    names = {shard.name for shard in missing}
    embedded = tuple(note for note in done.notes if note.shard in names)
    counts = dict.fromkeys(COUNTS, 0) | {k: v for k, v in counters(result).items() if k in COUNTS}
    return EmbedSummary(done, embedded, counts, seconds)


def _task(config: Config, plan: Plan, flags: Sequence[str]) -> EmbedTask:
    threads = config.embed.threads
    if threads is None and (workers := workers_on_this_machine(flags)) > 1:
        threads = max(1, cores() // workers)
    return EmbedTask(
        store=config.store,
        encoder=config.encoder,
        fingerprint=plan.fingerprint,
        dim=plan.dim,
        options=config.corpus.source_options(),
        options_digest=plan.options_digest,
        max_pixels=config.corpus.max_pixels,
        threads=threads,
        run_folder=files.join(progress.runs_folder(config.store), uuid.uuid4().hex),
    )


@dataclass(frozen=True)
class ShardToEmbed:
    """An element of the pipeline: a shard, and the embedding file of what it was before, if any."""

    shard: Shard
    earlier: EmbeddedShard | None


@beam.typehints.with_input_types(ShardToEmbed)
@beam.typehints.with_output_types(str)
class EmbedShards(beam.DoFn):
    """Shard -> its embedding file; gives the name of each finished shard.

    Batches of all shards of a bundle wait in one queue in the order they were read, so that the cores have work
    while one shard is written and the next is opened. At most three batches a thread are under way. What does
    grow with a shard is the set of its ids, its rejects and, if it was embedded before, the vectors of that file.
    """

    def __init__(self, task: EmbedTask) -> None:
        self._task = task
        self._shared_encoder = Shared()

    def setup(self) -> None:
        self._threads = self._task.threads or cores()
        self._progress = progress.WorkerNote(self._task.run_folder)
        self._open: set[ShardWork] = set()
        self._queue: deque[tuple[ShardWork, Batch, Future[EncodedBatch] | None]] = deque()

    def process(self, element: ShardToEmbed) -> Iterator[str]:
        with self._all_or_none(), _naming(element.shard):
            work = ShardWork(element.shard, self._task, element.earlier)
            self._open.add(work)
            for batch in work.batches():
                self._queue.append((work, batch, self._encoding(batch.images)))
                self._progress.add(images=len(batch.rows), work=sum(map(len, batch.images)))
                yield from self._write(most_left=3 * self._threads)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        with self._all_or_none():
            for name in self._write(most_left=0):
                yield GlobalWindows.windowed_value(name)
        self._progress.write()

    def _encoding(self, images: Sequence[bytes]) -> Future[EncodedBatch] | None:
        """The vectors to come; None for no images, for which the encoder need not be opened."""
        if not images:
            return None
        encoder = self._shared_encoder.acquire(lambda: open_encoder(self._task, self._threads))
        return encoder.submit(images)

    def _write(self, most_left: int) -> Iterator[str]:
        """Waits for the oldest batches and writes them; gives the names of the shards that this finishes."""
        while len(self._queue) > most_left:
            work, batch, encoding = self._queue.popleft()
            with _naming(work.shard):
                work.write(batch, encoding.result() if encoding else NO_IMAGES)
                if batch.is_last:
                    yield self._finish(work)

    def _finish(self, work: ShardWork) -> str:
        note = work.finish()
        self._open.remove(work)
        for name in COUNTS:
            Metrics.counter("embed", name).inc(work.counts[name])
        self._progress.add(shards=1)
        return note.shard

    @contextlib.contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """Leaves nothing of an unfinished shard behind if the block fails."""
        try:
            yield
        except BaseException:
            for work in self._open:
                work.abandon()
            self._open.clear()
            self._queue.clear()
            raise


@contextlib.contextmanager
def _naming(shard: Shard) -> Iterator[None]:
    """Turns what the file system says into a sentence that names the shard."""
    try:
        yield
    except OSError as error:
        raise LookalikeError(f"{escape(shard.place)}: {files.reason(error)}") from error


def open_encoder(task: EmbedTask, threads: int) -> Encoder:
    """Opens the encoder of a task.

    Raises:
        LookalikeError: if it is no whole bundle, or not the one that the job was planned with.
    """
    encoder = Encoder.load(task.encoder, threads=threads, max_pixels=task.max_pixels)
    if encoder.fingerprint != task.fingerprint:
        raise LookalikeError(
            f"The encoder changed while the job ran. Expected {task.fingerprint[:16]}. "
            f"Received: {encoder.fingerprint[:16]} in {task.encoder}"
        )
    return encoder
