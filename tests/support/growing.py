"""A store of embedding files whose index shards grow, without an encoder or a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.filesystem import files
from lookalike.index.build import IndexTask, build_index_shard
from lookalike.index.duplicates import LeftOut
from lookalike.index.growth import GrowthTask
from lookalike.index.inputs import write_inputs
from lookalike.index.opening import open_index
from lookalike.index.refs import grown_refs, index_ref
from lookalike.index.shard import IndexShard
from lookalike.index.tuning import BuildOptions
from lookalike.store.notes import EmbeddedShard, embedding_schema
from tests.support.small_stores import ENCODER, a_note

Row = tuple[str, Any, Any]
"""Id, vector, and the value of the metadata field `price`."""
DIM = 4
VECTORS = np.random.default_rng(0).standard_normal((8, DIM)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def row(item_id: str, picture: int, price: Any = 1.0) -> Row:
    """A row whose vector is one of `VECTORS`."""
    return item_id, VECTORS[picture], price


CORPUS = {
    "a": [row("a0", 0), row("a1", 1), row("a2", 2)],
    "b": [row("b0", 3), row("b1", 3, 0.0), row("b2", 4, float("nan"))],
}
"""Image shards and their rows; two have the same vector."""


class GrowingStore:
    """A folder of embedding files, whose content alone decides what they are called.

    Args:
        root: its folder.
        dim: length of a vector.
        options: how its index shards are built.
    """

    def __init__(self, root: Path, dim: int, **options: Any) -> None:
        self.root = root
        self._dim = dim
        self._options = BuildOptions(threads=1, **options)
        self._runs = 0

    def embed(self, shard: str, rows: Sequence[Row]) -> EmbeddedShard:
        """Writes the embedding file of an image shard."""
        schema = embedding_schema(self._dim, {"price": "float64"})
        ids = [row[0] for row in rows]
        vectors = np.array([row[1] for row in rows], np.float32).reshape(-1)
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors), type=schema.field("embedding").type)
        sizes = pa.array([8] * len(ids), pa.int32())
        prices = pa.array([row[2] for row in rows], pa.float64())
        columns = [pa.array(ids, pa.string()), embedding, pa.array(ids, pa.string()), sizes, sizes, prices]
        (self.root / "embeddings").mkdir(parents=True, exist_ok=True)
        written = self.root / "embeddings" / shard
        pq.write_table(pa.table(columns, schema=schema), written)
        sha256 = files.sha256(str(written))
        path = f"embeddings/{shard}-{sha256[:16]}.parquet"
        written.rename(self.root / path)
        return a_note(shard=shard, path=path, sha256=sha256, embedded=len(ids), reused=0)

    def tasks(
        self,
        corpus: Mapping[str, Sequence[Row]],
        taken_down: Iterable[str] = (),
        shards: int = 1,
        decided_by: str = "settings",
        tuned: bool = False,
    ) -> list[IndexTask]:
        """What the index shards of a corpus are made of, name of an image shard -> its rows.

        `decided_by` stands for all settings; `tuned` says whether there are queries to tune with.
        """
        self._runs += 1
        run_folder = self.root / "runs" / str(self._runs)
        run_folder.mkdir(parents=True)
        first: dict[str, int] = {}
        left_out: list[LeftOut] = []
        for number, name in enumerate(sorted(corpus)):
            for item_id in sorted(row[0] for row in corpus[name]):
                kept = first.setdefault(item_id, number)
                if kept < number or item_id in set(taken_down):
                    left_out.append(
                        LeftOut(number, item_id, kept if kept < number else None, item_id in set(taken_down))
                    )
        notes = [self.embed(name, corpus[name]) for name in sorted(corpus)]
        path = str(run_folder / "inputs.arrow")
        inputs = write_inputs(path, notes, left_out, shards, {"settings": decided_by})
        return [
            IndexTask(
                store=str(self.root),
                path=f"indexes/{number:05}-of-{shards:05}-{digest[:16]}",
                number=number,
                shards=shards,
                inputs=path,
                vectors=vectors,
                encoder=ENCODER,
                dim=self._dim,
                metric="cosine",
                metadata={"price": "float64"},
                options=self._options,
                run_folder=str(run_folder),
                tuning=str(run_folder / "tuning.npy") if tuned else None,
                decided_by=inputs.decided_by,
            )
            for number, (digest, vectors) in enumerate(zip(inputs.digests, inputs.vectors, strict=True))
        ]

    def built(self, task: IndexTask) -> IndexShard:
        """The index shard, built as a whole."""
        build_index_shard(task)
        return open_index(str(self.root), index_ref(str(self.root), task.path))

    def growth(
        self, task: IndexTask, base: IndexTask, most: float = 2.0, after: GrowthTask | None = None
    ) -> GrowthTask:
        """The growth of what was built of `base`, after it grew before."""
        ref = dataclasses.replace(index_ref(str(self.root), base.path), decided_by=base.decided_by)
        addition = grown_refs(str(self.root), after.path)[1] if after else None
        return GrowthTask(task, ref, addition, most, least=0.99)

    def opened(self, growth: GrowthTask) -> list[IndexShard]:
        """The index shard and its addition."""
        return [open_index(str(self.root), ref) for ref in grown_refs(str(self.root), growth.path)]
