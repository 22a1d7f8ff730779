"""One index shard: which embedding files belong to it, and how it is built from them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.digests import sha256_json
from lookalike.model.encoder.post_processing import DatabaseAugmentation

from ..config.job import Config
from ..embedding.plan import Plan
from ..filesystem import files
from ..filesystem.naming import naming
from ..sources.base import shards_for
from ..store.index_manifest import FORMAT, MANIFEST, Metric
from ..store.notes import EmbeddedShard, embedding_schema
from .post_processing import drawn_to_neighbours
from .shard import ShardContent, in_memory, write_index_shard
from .tuning import AskedQueries, BuildOptions, tuned_ks


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
        options: how the index is built; `threads` of a worker process.
        run_folder: where progress is noted.
        augmentation: what is done to the vectors first; None for nothing.
        tuning: file of vectors to tune with, which `numpy.save` wrote; None for none.
    """

    store: str
    path: str
    inputs: tuple[EmbeddingInput, ...]
    encoder: str
    dim: int
    metric: Metric
    metadata: dict[str, str]
    options: BuildOptions
    run_folder: str
    augmentation: DatabaseAugmentation | None = None
    tuning: str | None = None

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return {
            **vars(self),
            "inputs": [[one.path, one.sha256, one.left_out] for one in self.inputs],
            "options": vars(self.options),
            "augmentation": self.augmentation and self.augmentation.model_dump(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> IndexTask:
        """The task that `to_json` was asked of."""
        augmentation = data["augmentation"]
        return cls(
            **{
                **data,
                "inputs": tuple(
                    EmbeddingInput(path, sha256, tuple(left_out)) for path, sha256, left_out in data["inputs"]
                ),
                "options": BuildOptions(**data["options"]),
                "augmentation": augmentation and DatabaseAugmentation(**augmentation),
            }
        )


def number_of(shard: str, shards: int) -> int:
    """The index shard, of `shards`, that an image shard belongs to: a stable hash of its name."""
    digest = blake2b(shard.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


def assign(notes: Sequence[EmbeddedShard], shard_vectors: int) -> list[list[EmbeddedShard]]:
    """Distributes embedding files over index shards by a stable hash of the image shard's name.

    Args:
        notes: the embedding files.
        shard_vectors: about how many vectors an index shard shall hold at most.
    """
    vectors = sum(note.embedded + note.reused for note in notes)
    number = shards_for(vectors, shard_vectors)
    sets: list[list[EmbeddedShard]] = [[] for _ in range(number)]
    for note in notes:
        sets[number_of(note.shard, number)].append(note)
    return sets


def tuned_by(config: Config, asked: AskedQueries | None) -> list[Any]:
    """What decides the settings of an index besides its vectors; first the layout that it is written in."""
    return [FORMAT, config.index.recall_target, tuned_ks(config.query.k), asked.digest if asked else None]


def tuning_file(run_folder: str) -> str:
    """Where the vectors of queries to tune with lie during a run."""
    return files.join(run_folder, "tuning.npy")


def make_tasks(
    config: Config,
    plan: Plan,
    left_out: Mapping[str, Sequence[str]],
    run_folder: str,
    asked: AskedQueries | None = None,
) -> list[IndexTask]:
    """One task for each index shard; its folder's name is a digest of everything it is made from.

    Args:
        config: the job.
        plan: the corpus, every shard embedded.
        left_out: image shard -> ids of it that are not served, sorted.
        run_folder: where progress is noted, and where the vectors of `asked` will lie.
        asked: queries to tune with.
    """
    sets = assign(plan.notes, config.index.shard_vectors)
    tasks = []
    for number, notes in enumerate(sets):
        inputs = tuple(EmbeddingInput(n.path, n.sha256, tuple(left_out.get(n.shard, ()))) for n in notes)
        made_from = {
            "inputs": [[i.path, i.sha256, list(i.left_out)] for i in inputs],
            "encoder": plan.fingerprint,  # an index shard without inputs has one, too
            "metric": config.metric,
            "tuning": tuned_by(config, asked),
            "metadata": dict(config.corpus.metadata),
            "scann": version("scann"),
        }
        if plan.augmentation:  # what was built without it keeps its name
            made_from["augmentation"] = plan.augmentation.model_dump()
        tasks.append(
            IndexTask(
                store=config.store,
                path=f"indexes/{number:05}-of-{len(sets):05}-{sha256_json(made_from)[:16]}",
                inputs=inputs,
                encoder=plan.fingerprint,
                dim=plan.dim,
                metric=config.metric,
                metadata=dict(config.corpus.metadata),
                options=BuildOptions(config.index.recall_target, config.index.threads, k=config.query.k),
                run_folder=run_folder,
                augmentation=plan.augmentation,
                tuning=tuning_file(run_folder) if asked else None,
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
    content = _read_embeddings(task)
    if task.augmentation and len(content.items):
        content = _augmented(content, task.options, task.augmentation)
    asked = np.load(io.BytesIO(files.read_bytes(task.tuning)), allow_pickle=False) if task.tuning else None
    with files.write_folder(files.join(task.store, task.path), last=MANIFEST) as folder, naming(folder):
        write_index_shard(folder, content, task.options, asked)
    return len(content.items)


def _read_embeddings(task: IndexTask) -> ShardContent:
    """All rows of a task's embedding files."""
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
    rows = np.concatenate(vectors) if vectors else np.empty((0, task.dim), np.float32)
    return ShardContent(items, rows, task.metric, task.encoder)


def _augmented(
    content: ShardContent, options: BuildOptions, augmentation: DatabaseAugmentation
) -> ShardContent:
    """Database-side augmentation among the vectors of one index shard: of unit length."""
    plain = in_memory(content, options)
    vectors = plain.vectors_of(np.arange(len(plain.items)))
    drawn = drawn_to_neighbours([plain], vectors, plain.item_ids, augmentation)
    return replace(content, items=plain.items, vectors=drawn)
