"""The embedding job: each image shard that has no embedding file yet becomes one, in workers."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from lookalike.model.cores import cores
from lookalike.model.encoder.bundle import EncodedBatch, Encoder, is_far_ahead
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..filesystem import files
from ..runner import progress
from ..runner.work_list import WorkList, write_work_list
from ..runner.workers import in_workers, pieces_at_most, workers_here
from ..sources import Shard
from ..sources.fields import escape
from ..sources.opening import NotAsListedError
from ..store.encoders import keep_encoder, open_kept
from ..store.note_file import break_seal
from ..store.note_listing import keep_notes
from ..store.note_table import NoteTable
from . import attempts
from .contents import ReadContents
from .find_known import find_known
from .outcomes import Outcome, OutcomeLog, outcome_log, read_outcomes
from .plan import Plan
from .report import EmbedSummary
from .shard_work import NO_IMAGES, Batch, EmbedTask, ShardWork
from .summary import summarise


def embed(config: Config, plan: Plan, flags: Sequence[str] = ()) -> EmbedSummary:
    """Embeds every shard that is not finished.

    Args:
        config: the job.
        plan: the corpus as it is.
        flags: Beam's flags.

    Raises:
        LookalikeError: for what the user can mend.
    """
    task = _task(config, plan, flags)
    started = time.perf_counter()
    break_seal(config.store, plan.fingerprint)
    try:
        with ThreadPoolExecutor(1) as aside:
            if not flags:
                aside.submit(EmbedShards(task).encoder)  # what is wrong with it is told when it is needed
            missing = _look_up(task, plan, flags) if plan.stored else plan.missing
            if missing:
                _embed_shards(task, missing, flags)
        outcomes = read_outcomes(task.run_folder)
        attempts.forget(config.store)
    finally:
        with contextlib.suppress(OSError):
            files.delete([task.run_folder])
    summary = summarise(config, plan, outcomes, time.perf_counter() - started)
    # What was only read in the file of all notes stays there only if it is still so.
    seen = plan.stored if plan.is_listed else ()
    keep_notes(config.store, plan.fingerprint, NoteTable.joined(seen, summary.embedded))
    return summary


def _look_up(task: EmbedTask, plan: Plan, flags: Sequence[str]) -> list[Shard]:
    """Finds what the store knows of the missing shards by its content; gives those that are left to be embedded."""

    work = sum(shard.size for shard in plan.missing)
    with progress.shown("looking up", task.progress_folder, len(plan.missing), work, "records"):
        in_workers(
            "Read contents", ReadContents(task), _work_list(task, "look-up", plan.missing, flags), flags
        )
    done = read_outcomes(task.run_folder).done
    left = [shard for shard in plan.missing if shard.name not in done]
    if left:
        find_known(task.store, plan.stored, left, task.run_folder, task.dim, task.max_pixels, flags)
    return left


def _embed_shards(task: EmbedTask, shards: Sequence[Shard], flags: Sequence[str]) -> None:
    work = sum(shard.size for shard in shards)
    with progress.shown("embedding", task.progress_folder, len(shards), work, "images"):
        in_workers("Embed", EmbedShards(task), _work_list(task, "embed", shards, flags), flags)


def _work_list(task: EmbedTask, name: str, shards: Sequence[Shard], flags: Sequence[str]) -> WorkList[Shard]:
    return write_work_list(
        files.join(task.run_folder, "work", name),
        (shard.to_json() for shard in shards),
        len(shards),
        Shard.from_json,
        pieces_at_most(flags),
    )


def _task(config: Config, plan: Plan, flags: Sequence[str]) -> EmbedTask:
    threads = config.embed.threads
    if threads is None and (workers := workers_here(flags)) > 1:
        threads = max(1, cores() // workers)
    return EmbedTask(
        store=config.store,
        encoder=keep_encoder(config.store, config.encoder),
        fingerprint=plan.fingerprint,
        dim=plan.dim,
        options=config.corpus.source_options(),
        options_digest=plan.options_digest,
        max_pixels=config.corpus.max_pixels,
        threads=threads,
        run_folder=files.join(progress.runs_folder(config.store), uuid.uuid4().hex),
    )


class EmbedShards:
    """Shards -> for each its embedding file and its outcome. It travels to workers."""

    def __init__(self, task: EmbedTask) -> None:
        self._task = task

    def __call__(self, shards: Iterable[Shard]) -> None:
        with outcome_log(self._task.run_folder, "embed") as outcomes:
            queue = _Queue(self._task, self.encoder, outcomes)
            with queue.all_or_none():
                for shard in shards:
                    queue.embed(shard)
                queue.finish()

    def encoder(self) -> Encoder:
        """The one of this process, opened when it is first needed."""
        run = self._task.run_folder
        with _opening:
            if run not in _opened:
                _opened.clear()
                _opened[run] = open_encoder(self._task, _threads(self._task))
            return _opened[run]


_opening = threading.Lock()
_opened: dict[str, Encoder] = {}
"""The encoder of a run, by its folder: all threads of a worker share one."""


def _threads(task: EmbedTask) -> int:
    return task.threads or cores()


class _Queue:
    """Batches of one shard after another in the order they were read, so that the cores have work while one shard is
    written and the next is opened. How many are under way is bounded. What does grow with a shard is the set of its
    ids and its rejects.
    """

    def __init__(self, task: EmbedTask, encoder: Callable[[], Encoder], outcomes: OutcomeLog) -> None:
        self._task = task
        self._encoder = encoder
        self._outcomes = outcomes
        self._threads = _threads(task)
        self._progress = progress.worker_note(task.progress_folder)
        self._open: set[ShardWork] = set()
        self._queue: deque[tuple[ShardWork, Batch, Future[EncodedBatch] | None]] = deque()

    def embed(self, shard: Shard) -> None:
        """Reads a shard into the queue; writes what is ready, of this shard and those before it."""
        with _naming(shard):
            if self._outcomes.is_done(shard):
                return
            work = ShardWork(shard, self._task)
            self._open.add(work)
            try:
                for batch in work.batches():
                    self._queue.append((work, batch, self._encoding(work, batch.images)))
                    self._progress.add(images=len(batch.rows), work=batch.size)
                    self._write(self._is_far_ahead)
            except NotAsListedError as error:
                self._give_up(work, error)

    def finish(self) -> None:
        """Writes all that is left."""
        self._write(lambda: bool(self._queue))
        self._progress.write()

    def _is_far_ahead(self) -> bool:
        return is_far_ahead([batch.size for _, batch, _ in self._queue], self._threads)

    def _encoding(self, work: ShardWork, images: Sequence[bytes]) -> Future[EncodedBatch] | None:
        """The vectors to come; None for no images, for which the encoder need not be opened."""
        if not images:
            return None
        return self._encoder().submit(images, suspect=work.suspect)

    def _write(self, waits: Callable[[], bool]) -> None:
        """Writes the oldest batches as long as one `waits`, and finishes the shards that end with them."""
        while waits():
            work, batch, encoding = self._queue.popleft()
            with _naming(work.shard):
                work.write(batch, encoding.result() if encoding else NO_IMAGES)
                if batch.is_last:
                    self._finish(work)

    def _finish(self, work: ShardWork) -> None:
        outcome = Outcome(work.shard.name, work.finish(), dict(work.counts))
        self._open.remove(work)
        self._outcomes.tell(work.shard, outcome)
        self._progress.add(shards=1)

    def _give_up(self, work: ShardWork, error: NotAsListedError) -> None:
        """Leaves a shard to the next run; the others go on."""
        self._open.remove(work)
        self._queue = deque(waiting for waiting in self._queue if waiting[0] is not work)
        work.abandon()
        self._outcomes.tell(work.shard, Outcome(work.shard.name, None, {}, str(error)))

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
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
    load = functools.partial(Encoder.load, threads=threads, max_pixels=task.max_pixels)
    return open_kept(task.encoder, task.fingerprint, load)
