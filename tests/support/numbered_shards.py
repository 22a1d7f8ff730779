"""Index shards in a store, numbered as a job does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.duplicates.catalogues import NumberedShard
from lookalike.index.pieces import write_ids
from lookalike.store.generation import IndexRef
from tests.support.index_shards import stored_shard


def numbered_shards(
    store: Path, parts: Sequence[tuple[Sequence[str], Any]], metric: Any = "cosine", sides: Sequence[int] = ()
) -> tuple[NumberedShard, ...]:
    """Index shards of (ids, vectors); of one side unless `sides` tells that of each."""
    found: list[NumberedShard] = []
    vectors = items = 0
    for number, (ids, rows) in enumerate(parts):
        ref: IndexRef = stored_shard(store, str(number), ids, rows, metric)
        side = sides[number] if sides else 0
        one = NumberedShard(side, str(store), ref, vectors, items, 0)
        shard = one.open()
        found.append(NumberedShard(side, str(store), ref, vectors, items, len(shard.searcher)))
        vectors += len(shard.searcher)
        items += len(shard.items)
    return tuple(found)


def excluded_file(folder: Path, ids: Sequence[str] = ()) -> str:
    """A file of ids that are taken down."""
    path = str(folder / "excluded.arrow")
    write_ids(path, pa.array(sorted(ids), pa.string()))
    return path


def unit(rows: Any) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
