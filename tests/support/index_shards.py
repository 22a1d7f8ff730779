"""Index shards, in memory and in a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.index.shard import IndexShard, ShardContent, in_memory, write_index_shard
from lookalike.index.tuning import BuildOptions
from lookalike.store.generation import IndexRef
from lookalike.store.index_manifest import MANIFEST, Metric


def shard_of(ids: Sequence[str], vectors: Any, metric: Metric = "cosine", **columns: Any) -> IndexShard:
    """A shard that searches exactly: `vectors` (n, dim) of the items `ids`, with metadata `columns`."""
    items = pa.table({"item_id": pa.array(ids, pa.string()), **columns})
    rows = np.asarray(vectors, np.float32)
    return in_memory(ShardContent(items, rows, metric, "abc"), BuildOptions(threads=1))


def stored_shard(
    store: Path | str, name: str, ids: Sequence[str], vectors: Any, metric: Metric = "cosine", **columns: Any
) -> IndexRef:
    """The same in a store, and what a generation says of it."""
    items = pa.table({"item_id": pa.array(ids, pa.string()), **columns})
    folder = Path(store, "indexes", name)
    content = ShardContent(items, np.asarray(vectors, np.float32), metric, "abc")
    write_index_shard(str(folder), content, BuildOptions(threads=1))
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return IndexRef(f"indexes/{name}", sha256, len(ids), "brute_force", 1.0)
