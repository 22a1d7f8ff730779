"""An index shard that grows: what is new stands in a small index beside it, and what went is hidden.

The addition is a folder of its own, named by a digest of the index shard and of what both together are made from:

    indexes/KEY-added/                        an index shard of the items that are new
    indexes/KEY-added/hidden.npy              the rows of those of the other that are no longer served
    indexes/KEY-added/base.json               how the other is named by a generation from now on: an `IndexRef`
    indexes/KEY-added/origins-of-base.arrow   which embedding file each of its items comes from, as of now

An addition holds all that changed since the other was built; the next night's takes its place. It is made from that of
the last night, so that only files are opened that were not there then; the same would come of the index shard alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from lookalike.model.digests import sha256_json
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.naming import naming
from ..store import generations
from ..store.generation import HiddenRows, IndexRef
from ..store.hidden import written_rows
from ..store.index_manifest import MANIFEST
from .build import IndexTask, is_whole, tuning_vectors
from .changes import changed
from .grown_recall import lowest_recalls
from .opening import open_index, open_vectors_of
from .refs import BASE, ref_of
from .shard import IndexShard, ShardContent, in_memory, save
from .stored import StoredVectors

HIDDEN = "hidden.npy"
OF_BASE = "origins-of-base.arrow"


@dataclass(frozen=True)
class GrowthTask:
    """What a worker needs to let an index shard grow.

    Attributes:
        whole: what it would be built from.
        base: the index shard, as the last generation names it.
        addition: what stood beside it last night; None for nothing.
        most: how many items may be new or gone, as a fraction of those it was built with.
        least: recall that both together must have.
    """

    whole: IndexTask
    base: IndexRef
    addition: IndexRef | None
    most: float
    least: float

    @property
    def path(self) -> str:
        """Folder of the addition, relative to the store."""
        digest = sha256_json([self.base.manifest_sha256, self.whole.path])
        return f"{self.whole.path.rpartition('-')[0]}-{digest[:16]}-added"

    def to_json(self) -> dict[str, Any]:
        """It in types of JSON, from which `from_json` makes the same."""
        return {**asdict(self), "whole": self.whole.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> GrowthTask:
        """The task that `to_json` was asked of."""
        addition = data["addition"] and IndexRef.from_json(data["addition"])
        return cls(
            IndexTask.from_json(data["whole"]),
            IndexRef.from_json(data["base"]),
            addition,
            data["most"],
            data["least"],
        )


def grow(task: GrowthTask) -> int | None:
    """Puts an addition into the store, its manifest last.

    Returns:
        How many items are new or gone; None where the index shard is to be built anew, as it is damaged, it is not
        known where its items come from, too many changed, or the recall of both together is too low.

    Raises:
        LookalikeError: if an embedding file is damaged.
        OSError: if the store cannot be read or written.
    """
    whole = task.whole
    try:
        built = ref_of(
            task.base.path, task.base.manifest_sha256, generations.read_index(whole.store, task.base)
        )
        base = open_index(whole.store, built)
    except LookalikeError:
        return None
    most = task.most * built.count
    if base.origins is None or abs(whole.vectors - built.count) > most:
        return None
    try:
        origins, before = _origins_last_night(base, task)
    except LookalikeError:
        origins, before = base.origins, None
    change = changed(base, origins, before, whole)
    if change.count > most:
        return None
    content = ShardContent(change.items, change.vectors, whole.metric, whole.encoder, change.origins)
    asked = tuning_vectors(whole)
    addition = in_memory(content, whole.options, asked)
    recalls = built.recalls
    if recalls and (len(change.items) or asked is not None):
        recalls = lowest_recalls(base, change.hidden, addition, asked)
        if min(recalls.values()) < task.least:
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
    told = json.dumps(asdict(served), indent=1).encode()
    others = {HIDDEN: rows, BASE: told, OF_BASE: _written(change.of_base)}
    target = files.join(whole.store, task.path)
    with (
        files.write_folder(target, MANIFEST, lambda: is_whole(whole.store, task.path)) as folder,
        naming(folder),
    ):
        save(folder, addition, others)
    return change.count


def _origins_last_night(base: IndexShard, task: GrowthTask) -> tuple[pa.DictionaryArray, IndexShard | None]:
    """Where the items of an index shard came from, null where they were hidden, and what stood beside it.

    Raises:
        LookalikeError: if the addition is damaged.
        OSError: if it cannot be read.
    """
    # Vectors that were rounded once would be rounded again: they are read where they are whole.
    if task.addition is None or isinstance(base.searcher.vectors, StoredVectors):
        return base.origins, None
    addition = open_vectors_of(task.whole.store, task.addition)
    path = files.join(task.whole.store, task.addition.path, OF_BASE)
    data = files.read_bytes(path)
    files.check_digest(path, data, addition.manifest.files[OF_BASE].sha256)
    return pa.ipc.open_file(data).read_all()["origin"].combine_chunks(), addition


def _written(origins: pa.DictionaryArray) -> bytes:
    table = pa.table({"origin": origins})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
