"""The indexing job: embedding files to index shards, on Beam, published as a generation."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import blake2b
from importlib.metadata import version

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.digests import sha256_json
from model.errors import LookalikeError
from pipelines import files, index_shard, progress, store
from pipelines.config import Config
from pipelines.duplicates import find_duplicates, write_duplicates
from pipelines.embeddings import EmbeddedShard, embedding_schema
from pipelines.gates import check_gates
from pipelines.plan import Plan
from pipelines.report import totals
from pipelines.store import Generation, IndexRef

logger = logging.getLogger(__name__)
TUNED_K = 10
"""The recall target is a recall at 10."""


@dataclass(frozen=True)
class EmbeddingInput:
    """An embedding file on its way into an index shard.

    Attributes:
        path: relative to the store.
        sha256: what its digest must be.
        left_out: ids that an earlier shard of the corpus serves.
    """

    path: str
    sha256: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class IndexTask:
    """What a worker needs to build one index shard.

    Attributes:
        store: folder of the store.
        path: folder of the index shard, relative to the store.
        inputs: its embedding files, in order.
        encoder: fingerprint.
        dim: length of a vector.
        metric: cosine or euclidean.
        metadata: fields carried through, name -> type.
        recall_target: for the search settings.
        threads: threads a worker process; None is one for each core.
        run_folder: where progress is noted.
    """

    store: str
    path: str
    inputs: tuple[EmbeddingInput, ...]
    encoder: str
    dim: int
    metric: str
    metadata: dict[str, str]
    recall_target: float
    threads: int | None
    run_folder: str


def assign(notes: Sequence[EmbeddedShard], shard_vectors: int) -> list[list[EmbeddedShard]]:
    """Distributes embedding files over index shards by a stable hash of the image shard's name.

    The number of index shards is a power of two, so that it seldom changes while a corpus grows, and the next
    one only splits shards.

    Args:
        notes: the embedding files.
        shard_vectors: about how many vectors an index shard shall hold at most.
    """
    vectors = sum(note.embedded + note.reused for note in notes)
    number = 1
    while number * shard_vectors < vectors:
        number *= 2
    sets: list[list[EmbeddedShard]] = [[] for _ in range(number)]
    for note in notes:
        digest = blake2b(note.shard.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        sets[int.from_bytes(digest, "big") % number].append(note)
    return sets


def make_tasks(config: Config, plan: Plan, duplicates: pa.Table, run_folder: str) -> list[IndexTask]:
    """One task for each index shard; its folder's name is a digest of everything it is made from."""
    left_out: dict[str, list[str]] = defaultdict(list)
    for row in duplicates.to_pylist():
        left_out[row["shard"]].append(row["item_id"])
    sets = assign(plan.notes, config.index.shard_vectors)
    tasks = []
    for number, notes in enumerate(sets):
        inputs = tuple(EmbeddingInput(n.path, n.sha256, tuple(left_out[n.shard])) for n in notes)
        made_from = {
            "inputs": [[i.path, i.sha256, list(i.left_out)] for i in inputs],
            "metric": config.metric,
            "recall_target": config.index.recall_target,
            "metadata": dict(config.corpus.metadata),
            "scann": version("scann"),
        }
        tasks.append(
            IndexTask(
                store=config.store,
                path=f"indexes/{number:05}-of-{len(sets):05}-{sha256_json(made_from)[:16]}",
                inputs=inputs,
                encoder=plan.fingerprint,
                dim=plan.dim,
                metric=config.metric,
                metadata=dict(config.corpus.metadata),
                recall_target=config.index.recall_target,
                threads=config.index.threads,
                run_folder=run_folder,
            )
        )
    return tasks


def build_index_shard(task: IndexTask) -> int:
    """Builds one index shard and puts it into the store; its manifest arrives last.

    Returns:
        The number of its vectors.

    Raises:
        LookalikeError: if an embedding file is damaged.
        OSError: if the store cannot be read or written.
    """
    items, vectors = _read_embeddings(task)
    target = files.join(task.store, task.path)
    remote = files.is_remote(target)
    if not remote:
        os.makedirs(os.path.dirname(target), exist_ok=True)
    folder = tempfile.mkdtemp(
        prefix=f".index{files.TEMPORARY}", dir=None if remote else os.path.dirname(target)
    )
    try:
        index_shard.write_index_shard(
            folder,
            items=items,
            vectors=vectors,
            metric=task.metric,  # type: ignore[arg-type]
            encoder_fingerprint=task.encoder,
            recall_target=task.recall_target,
            k=TUNED_K,
            threads=task.threads,
        )
        files.move_folder_in(folder, target, last=index_shard.MANIFEST)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return len(vectors)


def _read_embeddings(task: IndexTask) -> tuple[pa.Table, np.ndarray]:
    """All rows of a task's embedding files: the items, and their vectors (n, dim) float32."""
    columns = ["item_id", *task.metadata]
    schema = embedding_schema(task.dim, task.metadata)
    tables: list[pa.Table] = []
    vectors: list[np.ndarray] = []
    for source in task.inputs:
        data = files.read_bytes(files.join(task.store, source.path))
        files.check_digest(source.path, data, source.sha256)
        table = pq.read_table(pa.BufferReader(data))
        if source.left_out:
            gone = pa.array(source.left_out, pa.string())
            table = table.filter(pc.invert(pc.is_in(table["item_id"], gone)))
        for chunk in table["embedding"].chunks:
            vectors.append(chunk.flatten().to_numpy().reshape(-1, task.dim))
        tables.append(table.select(columns))
    names = pa.schema([schema.field(name) for name in columns])
    items = pa.concat_tables([t.cast(names) for t in tables]) if tables else names.empty_table()
    return items, np.concatenate(vectors) if vectors else np.empty((0, task.dim), np.float32)


@dataclass(frozen=True)
class IndexSummary:
    """What an indexing run did.

    Attributes:
        generation: what was published.
        built: number of index shards built by this run; the others were there.
        seconds: wall-clock time of the pipeline.
    """

    generation: Generation
    built: int
    seconds: float


def index(config: Config, plan: Plan, flags: Sequence[str] = ()) -> IndexSummary:
    """Builds the index shards that are missing, checks the whole, and publishes it as a generation.

    Args:
        config: the job.
        plan: the corpus, every shard embedded.
        flags: Beam's flags.

    Raises:
        LookalikeError: if shards are not embedded, nothing is left to index, or a file is damaged.
        GateError: if a gate fails; nothing is published.
    """
    if plan.missing:
        names = ", ".join(shard.name for shard in plan.missing[:3])
        raise LookalikeError(
            f"{len(plan.missing)} of {len(plan.shards)} shards are not embedded ({names}, ...): "
            f"run `lookalike embed` first, or `lookalike nightly`"
        )
    counts = dict(totals(plan.notes))
    previous_name = store.current_name(config.store)
    previous = store.current(config.store) if previous_name else None
    duplicates = find_duplicates(config.store, plan.notes)
    counts["items"] = counts["embedded"] + counts["reused"] - len(duplicates)
    check_gates(config.gates, plan.notes, counts, previous)
    run_folder = files.join(progress.runs_folder(config.store), uuid.uuid4().hex)
    tasks = make_tasks(config, plan, duplicates, run_folder)
    finished = [files.join(config.store, task.path, index_shard.MANIFEST) for task in tasks]
    missing = [task for task, path in zip(tasks, finished, strict=True) if not files.exists(path)]
    started = time.perf_counter()
    if missing:
        _build_all(missing, run_folder, flags, counts["items"])
    seconds = time.perf_counter() - started
    indexes = tuple(_index_ref(config.store, task) for task in tasks)
    now = datetime.now(timezone.utc)
    # With the one before: two runs within a second that change nothing are two generations all the same.
    digests = [[note.sha256 for note in plan.notes], [ref.manifest_sha256 for ref in indexes]]
    content = sha256_json([*digests, previous_name])
    generation = Generation(
        format=store.FORMAT,
        name=store.generation_name(now, content),
        created=now.isoformat(timespec="seconds"),
        encoder=plan.fingerprint,
        encoder_name=plan.encoder_name,
        dim=plan.dim,
        metric=config.metric,
        metadata=dict(config.corpus.metadata),
        counts=counts,
        shards=tuple(plan.notes),
        duplicates=len(duplicates),
        indexes=indexes,
        previous=previous_name,
    )
    folder = store.generation_folder(config.store, generation.name)
    write_duplicates(files.join(folder, "duplicates.parquet"), duplicates)
    store.publish(config.store, generation)
    return IndexSummary(generation, len(missing), seconds)


def _build_all(tasks: list[IndexTask], run_folder: str, flags: Sequence[str], vectors: int) -> None:
    import apache_beam as beam

    from pipelines.runner import run_pipeline

    def build(pipeline: beam.Pipeline) -> None:
        shards = pipeline | "Index shards" >> beam.Create(tasks) | "Spread" >> beam.Reshuffle()
        _ = shards | "Build" >> beam.Map(_build_noted)

    with progress.shown("indexing", run_folder, len(tasks), vectors, "vectors"):
        run_pipeline(build, flags)


def _build_noted(task: IndexTask) -> str:
    note = progress.WorkerNote(task.run_folder)
    try:
        count = build_index_shard(task)
    except OSError as error:
        raise LookalikeError(f"{task.path}: {files.reason(error)}") from error
    note.add(shards=1, vectors=count, work=count)
    return task.path


def _index_ref(root: str, task: IndexTask) -> IndexRef:
    data = files.read_bytes(files.join(root, task.path, index_shard.MANIFEST))
    manifest = index_shard.parse_manifest(data, task.path)
    return IndexRef(
        path=task.path,
        manifest_sha256=files.sha256_bytes(data),
        count=manifest.count,
        algorithm=manifest.parameters.algorithm,
        recall=manifest.settings.recall,
    )
