"""Index shards in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.index.shard import IndexShard, ShardContent, in_memory
from lookalike.index.tuning import BuildOptions
from lookalike.store.index_manifest import Metric


def shard_of(ids: Sequence[str], vectors: Any, metric: Metric = "cosine", **columns: Any) -> IndexShard:
    """A shard that searches exactly: `vectors` (n, dim) of the items `ids`, with metadata `columns`."""
    items = pa.table({"item_id": pa.array(ids, pa.string()), **columns})
    rows = np.asarray(vectors, np.float32)
    return in_memory(ShardContent(items, rows, metric, "abc"), BuildOptions(threads=1))
