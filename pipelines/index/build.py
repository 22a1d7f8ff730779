"""One index shard: what it is named by, and how it is built from its embedding files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.encoder.post_processing import DatabaseAugmentation
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..embedding.plan import Plan
from ..filesystem import files
from ..filesystem.naming import naming
from ..store.index_manifest import FORMAT, MANIFEST, Metric, parse_manifest
from ..store.notes import embedding_schema
from .embeddings import open_parquet, open_whole, rows_of
from .inputs import EmbeddingInput, IndexInputs, read_inputs
from .post_processing import drawn_to_neighbours
from .shard import ShardContent, in_memory, write_index_shard
from .tuning import AskedQueries, BuildOptions, tuned_ks


@dataclass(frozen=True)
class IndexTask:
    """What a worker needs to build one index shard.

    Attributes:
        store: folder of the store.
        path: folder of the index shard, relative to the store.
        number, shards: which index shard it is, and of how many.
        inputs: file that tells its embedding files; see `inputs.read_inputs`.
        vectors: how many it will hold.
        encoder: fingerprint.
        dim: length of a vector.
        metric: cosine or euclidean.
        metadata: fields carried through, name -> type.
        options: how the index is built; `threads` of a worker process.
        run_folder: where progress is noted.
        augmentation: what is done to the vectors first; None for nothing.
        tuning: file of vectors to tune with, which `numpy.save` wrote; None for none.
        decided_by: see `IndexInputs.decided_by`.
    """

    store: str
    path: str
    number: int
    shards: int
    inputs: str
    vectors: int
    encoder: str
    dim: int
    metric: Metric
    metadata: dict[str, str]
    options: BuildOptions
    run_folder: str
    augmentation: DatabaseAugmentation | None = None
    tuning: str | None = None
    decided_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return {
            **vars(self),
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
                "options": BuildOptions(**data["options"]),
                "augmentation": augmentation and DatabaseAugmentation(**augmentation),
            }
        )


def tuned_by(config: Config, asked: AskedQueries | None) -> list[Any]:
    """What decides the settings of an index besides its vectors; first the layout that it is written in."""
    parts = [FORMAT, config.index.recall_target, tuned_ks(config.query.k), asked.digest if asked else None]
    if config.index.bytes != "float32":  # what was built without it keeps its name
        parts.append(config.index.bytes)
    return parts


def decided_by(config: Config, plan: Plan, asked: AskedQueries | None = None) -> dict[str, Any]:
    """What decides an index shard besides its embedding files; its folder's name is a digest of it all."""
    parts = {
        "encoder": plan.fingerprint,  # an index shard without inputs has one, too
        "metric": config.metric,
        "tuning": tuned_by(config, asked),
        "metadata": dict(config.corpus.metadata),
        "scann": version("scann"),
    }
    if plan.augmentation:  # what was built without it keeps its name
        parts["augmentation"] = plan.augmentation.model_dump()
    return parts


def make_tasks(
    config: Config,
    plan: Plan,
    inputs: IndexInputs,
    run_folder: str,
    asked: AskedQueries | None = None,
) -> list[IndexTask]:
    """One task for each index shard.

    Args:
        config: the job.
        plan: the corpus, every shard embedded.
        inputs: their embedding files.
        run_folder: where progress is noted, and where the vectors of `asked` will lie.
        asked: queries to tune with.
    """
    shards = len(inputs.digests)
    return [
        IndexTask(
            store=config.store,
            path=f"indexes/{number:05}-of-{shards:05}-{digest[:16]}",
            number=number,
            shards=shards,
            inputs=inputs.path,
            vectors=vectors,
            encoder=plan.fingerprint,
            dim=plan.dim,
            metric=config.metric,
            metadata=dict(config.corpus.metadata),
            options=BuildOptions(
                config.index.recall_target, config.index.threads, k=config.query.k, bytes=config.index.bytes
            ),
            run_folder=run_folder,
            augmentation=plan.augmentation,
            tuning=files.join(run_folder, "tuning.npy") if asked else None,
            decided_by=inputs.decided_by,
        )
        for number, (digest, vectors) in enumerate(zip(inputs.digests, inputs.vectors, strict=True))
    ]


def is_whole(root: str, folder: str, manifest_sha256: str | None = None) -> bool:
    """Whether an index shard is there with all of its files, by their sizes; digests are checked when opened.

    Args:
        root: folder of the store.
        folder: of the index shard, relative to it.
        manifest_sha256: what its manifest must be; None for any.

    Raises:
        OSError: if the store cannot be read.
    """
    path = files.join(root, folder, MANIFEST)
    if not files.exists(path):
        return False
    data = files.read_bytes(path)
    if manifest_sha256 not in (None, files.sha256_bytes(data)):
        return False
    try:
        manifest = parse_manifest(data, path)
    except LookalikeError:
        return False
    listed = files.list_files(files.join(root, folder))
    found = {file.path.rpartition("/")[2]: file.size for file in listed}
    return all(found.get(name) == digest.size for name, digest in manifest.files.items())


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
    target = files.join(task.store, task.path)
    with (
        files.write_folder(target, MANIFEST, lambda: is_whole(task.store, task.path)) as folder,
        naming(folder),
    ):
        write_index_shard(folder, content, task.options, tuning_vectors(task))
    return len(content.items)


def tuning_vectors(task: IndexTask) -> np.ndarray | None:
    """The user's queries to tune with, float32 (q, dim); None for none. Raises OSError."""
    if task.tuning is None:
        return None
    vectors: np.ndarray = np.load(io.BytesIO(files.read_bytes(task.tuning)), allow_pickle=False)
    return vectors


def _read_embeddings(task: IndexTask) -> ShardContent:
    """All rows of a task's embedding files that are served; besides them a few rows are held."""
    schema = items_schema(task)
    vectors = np.empty((task.vectors, task.dim), np.float32)
    items: list[pa.RecordBatch] = []
    digests: list[str] = []
    counts: list[int] = []
    filled = 0
    for source in read_inputs(task.inputs, task.number, task.shards):
        digests.append(source.digest)
        before = filled
        for batch, embeddings in served_rows(task, source):
            end = filled + len(batch)
            if end <= task.vectors:
                vectors[filled:end] = embeddings
                items.append(batch)
            filled = end
        counts.append(filled - before)
    if filled != task.vectors:
        raise LookalikeError(
            f"{task.path}: expected embedding files of {task.vectors} vectors, as their notes say. Received: {filled}"
        )
    of_item = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
    origins = pa.DictionaryArray.from_arrays(of_item, pa.array(digests, pa.string()))
    return ShardContent(pa.Table.from_batches(items, schema), vectors, task.metric, task.encoder, origins)


def items_schema(task: IndexTask) -> pa.Schema:
    """Of a task's items: `item_id` and the metadata."""
    schema = embedding_schema(task.dim, task.metadata)
    return pa.schema([schema.field(name) for name in ("item_id", *task.metadata)])


def served_rows(task: IndexTask, source: EmbeddingInput) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """The items of an embedding file that are served, by `items_schema`, and their vectors, float32 (rows, dim).

    Raises:
        LookalikeError: if the file is damaged.
        OSError: if it cannot be read.
    """
    schema = items_schema(task)
    path = files.join(task.store, source.path)
    gone = pa.array(source.left_out, pa.string())
    with open_whole(path, source.sha256) as file:
        for batch in rows_of(open_parquet(file, path), path, [*schema.names, "embedding"]):
            if len(gone):
                batch = batch.filter(pc.invert(pc.is_in(batch["item_id"], gone)))
            vectors = batch["embedding"].flatten().to_numpy().reshape(-1, task.dim)
            yield batch.select(schema.names).cast(schema), vectors


def _augmented(
    content: ShardContent, options: BuildOptions, augmentation: DatabaseAugmentation
) -> ShardContent:
    """Database-side augmentation among the vectors of one index shard: of unit length.

    As each depends on its neighbours, such a shard cannot grow.
    """
    plain = in_memory(content, replace(options, bytes="float32"))
    vectors = plain.vectors_of(np.arange(len(plain.items)))
    drawn = drawn_to_neighbours([plain], vectors, plain.item_ids, augmentation)
    return replace(content, items=plain.items, vectors=drawn, origins=None)
