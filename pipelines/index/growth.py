"""An index shard that grows: what is new stands in a small index beside it, and what went is hidden.

The addition is a folder of its own, named by a digest of the index shard and of what both together are made from:

    indexes/KEY-added/             an index shard of the items that are new
    indexes/KEY-added/hidden.npy   the rows of those of the other that are no longer served
    indexes/KEY-added/base.json    how the other is named by a generation from now on: an `IndexRef`

An addition holds all that changed since the other was built; the next night's takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.naming import naming
from ..store import generations
from ..store.generation import HiddenRows, IndexRef
from ..store.hidden import written_rows
from ..store.index_manifest import ITEM_ID, MANIFEST
from .build import IndexTask, is_whole, items_schema, served_rows, tuning_vectors
from .grown_recall import lowest_recalls
from .inputs import EmbeddingInput, read_inputs
from .opening import open_index, open_vectors_of
from .refs import BASE, ref_of
from .scores import checked
from .shard import IndexShard, ShardContent, in_memory, save
from .stored import are_stored

HIDDEN = "hidden.npy"


@dataclass(frozen=True)
class GrowthTask:
    """What a worker needs to let an index shard grow.

    Attributes:
        whole: what it would be built from.
        base: the index shard, as the last generation names it.
        most: how many items may be new or gone, as a fraction of those it was built with.
    """

    whole: IndexTask
    base: IndexRef
    most: float

    @property
    def path(self) -> str:
        """Folder of the addition, relative to the store."""
        digest = sha256_json([self.base.manifest_sha256, self.whole.path])
        return f"{self.whole.path.rpartition('-')[0]}-{digest[:16]}-added"

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return {"whole": self.whole.to_json(), "base": asdict(self.base), "most": self.most}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GrowthTask:
        """The task that `to_json` was asked of."""
        return cls(IndexTask.from_json(data["whole"]), IndexRef.from_json(data["base"]), data["most"])


@dataclass(frozen=True)
class Change:
    """What an index shard lacks, and what it has too much.

    Attributes:
        items: that are new, by `build.items_schema`.
        vectors: theirs, float32 (items, dim).
        hidden: rows of the items that went, int64 (m,), ascending.
    """

    items: pa.Table
    vectors: np.ndarray
    hidden: np.ndarray

    @property
    def count(self) -> int:
        """How many items are new or gone."""
        return len(self.items) + len(self.hidden)


def grow(task: GrowthTask) -> int | None:
    """Puts an addition into the store, its manifest last.

    Returns:
        How many items are new or gone; None where the index shard is to be built anew, as it is damaged, it is not
        known where its items come from, too many changed, or the recall of both together misses the target.

    Raises:
        LookalikeError: if an embedding file is damaged.
        OSError: if the store cannot be read or written.
    """
    whole = task.whole
    try:
        built = ref_of(
            task.base.path, task.base.manifest_sha256, generations.read_index(whole.store, task.base)
        )
        base = open_vectors_of(whole.store, built)
    except LookalikeError:
        return None
    most = task.most * built.count
    if base.origins is None or abs(whole.vectors - built.count) > most:
        return None
    change = changed(base, whole)
    if change.count > most:
        return None
    content = ShardContent(change.items, change.vectors, whole.metric, whole.encoder)
    addition = in_memory(content, whole.options, tuning_vectors(whole))
    recalls = built.recalls
    if recalls and len(change.items):
        recalls = lowest_recalls(open_index(whole.store, built), change.hidden, addition)
        if min(recalls.values()) < whole.options.recall_target:
            return None
    rows = written_rows(change.hidden)
    served = replace(
        built,
        count=built.count - len(change.hidden),
        recall=min(recalls.values(), default=built.recall),
        recalls=recalls,
        hidden=HiddenRows(f"{task.path}/{HIDDEN}", files.sha256_bytes(rows), len(change.hidden)),
        decided_by=whole.decided_by,
    )
    others = {HIDDEN: rows, BASE: json.dumps(asdict(served), indent=1).encode()}
    target = files.join(whole.store, task.path)
    with (
        files.write_folder(target, MANIFEST, lambda: is_whole(whole.store, task.path)) as folder,
        naming(folder),
    ):
        save(folder, addition, others)
    return change.count


def changed(base: IndexShard, task: IndexTask) -> Change:
    """Compares an index shard with what it would be built from now. Files that it has are not opened.

    Args:
        base: with the origins of its items.
        task: what it would be built from.

    Raises:
        LookalikeError: if an embedding file is damaged.
        OSError: if one cannot be read.
    """
    assert base.origins is not None
    new: list[EmbeddingInput] = []
    kept: list[str] = []
    known = set(base.origins.dictionary.to_pylist())
    for source in read_inputs(task.inputs, task.number, task.shards):
        if source.digest in known:
            kept.append(source.digest)
        else:
            new.append(source)
    stays = pc.is_in(base.origins.dictionary, pa.array(kept, pa.string())).to_numpy(zero_copy_only=False)
    candidates = np.flatnonzero(~stays[base.origins.indices.to_numpy()])
    items, vectors = _rows_of(task, new)
    found = _same(base, candidates, items, vectors)
    is_new = pa.array(found < 0)
    hidden = candidates[np.isin(np.arange(len(candidates)), found, invert=True)]
    return Change(items.filter(is_new), vectors[found < 0], hidden)


def _rows_of(task: IndexTask, sources: Iterable[EmbeddingInput]) -> tuple[pa.Table, np.ndarray]:
    """The served rows of embedding files, their vectors as an index holds them."""
    found = [rows for source in sources for rows in served_rows(task, source)]
    items = pa.Table.from_batches([batch for batch, _ in found], items_schema(task)).combine_chunks()
    vectors = np.concatenate([np.empty((0, task.dim), np.float32), *(vectors for _, vectors in found)])
    return items, checked(vectors, task.metric, dim=task.dim)


def _same(base: IndexShard, rows: np.ndarray, items: pa.Table, vectors: np.ndarray) -> np.ndarray:
    """For each item the place in `rows` of the same one: id, metadata and vector as stored. -1 for none. int64."""
    held = base.items.take(pa.array(rows)).combine_chunks()
    place = pc.index_in(items[ITEM_ID], held[ITEM_ID]).fill_null(-1).to_numpy().astype(np.int64)
    both = np.flatnonzero(place >= 0)
    equal = are_stored(base.searcher.vectors, base.numbers_of(rows[place[both]]), vectors[both])
    for name in items.column_names:
        equal &= _equal(held[name].take(pa.array(place[both])), items[name].take(pa.array(both)))
    place[both[~equal]] = -1
    return place


def _equal(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> np.ndarray:
    """Where two columns are equal to the bit, also in what is null: bool (n,)."""
    if pa.types.is_nested(ours.type) or pa.types.is_floating(ours.type):  # -0.0 is not 0.0, NaN is NaN
        pairs = zip(ours.to_pylist(), theirs.to_pylist(), strict=True)
        return np.fromiter((repr(a) == repr(b) for a, b in pairs), bool, len(ours))
    alike = pc.or_(pc.equal(ours, theirs).fill_null(False), pc.and_(ours.is_null(), theirs.is_null()))
    return alike.to_numpy()
