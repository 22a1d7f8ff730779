"""What is served, numbered: the distinct vectors of all index shards, and the items behind them.

With two catalogues, those of the second have their numbers behind those of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..index.opening import open_vectors_of
from ..index.shard import IndexShard
from ..index.shown import served_rows
from ..store import generations
from ..store.generation import Generation, IndexRef
from ..store.index_manifest import IndexManifest


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One job's items.

    Attributes:
        config: the job.
        generation: what it serves.
        excluded: ids that are taken down, sorted.
    """

    config: Config
    generation: Generation
    excluded: pa.Array

    @property
    def manifests(self) -> list[IndexManifest]:
        """Those of its index shards. Raises LookalikeError for a damaged one."""
        return [generations.read_index(self.config.store, ref) for ref in self.generation.indexes]


@dataclass(frozen=True)
class NumberedShard:
    """An index shard and where its numbers begin. It travels to workers.

    Attributes:
        side: 0 for the catalogue itself, 1 for the one it is held against.
        store: folder of the store.
        ref: the index shard.
        first_vector: number of its first distinct vector.
        first_item: number of its first item.
        vectors: how many distinct vectors it has; the last one's number follows from it.
    """

    side: int
    store: str
    ref: IndexRef
    first_vector: int
    first_item: int
    vectors: int

    def open(self) -> IndexShard:
        """Its vectors and items, without ScaNN's index. Raises as `open_vectors_of`."""
        return open_vectors_of(self.store, self.ref)


def check_comparable(one: Generation, other: Generation) -> None:
    """Raises LookalikeError unless the vectors of two generations may be compared."""
    for what in ("encoder", "metric", "dim"):
        ours, theirs = getattr(one, what), getattr(other, what)
        if ours != theirs:
            raise LookalikeError(
                f"Expected two catalogues of one {what}, as vectors of different ones cannot be compared. "
                f"Received: {_brief(ours)} and, in --against, {_brief(theirs)}"
            )


def _brief(value: Any) -> str:
    return str(value)[:16]


def numbered(catalogues: Sequence[Catalogue]) -> list[NumberedShard]:
    """All index shards, in order. Raises LookalikeError for a damaged one."""
    found, vectors, items = [], 0, 0
    for side, catalogue in enumerate(catalogues):
        for ref in catalogue.generation.indexes:
            store = catalogue.config.store
            shard = open_vectors_of(store, ref)
            found.append(NumberedShard(side, store, ref, vectors, items, len(shard.searcher)))
            vectors += len(shard.searcher)
            items += len(shard.items)
    return found


def shown_vectors(shard: IndexShard, excluded: pa.Array) -> np.ndarray:
    """Whether a distinct vector has an item that is served: bool (vectors,)."""
    shown = np.zeros(len(shard.searcher), bool)
    shown[shard.numbers_of(served_rows(shard, excluded))] = True
    return shown


def vectors_of(shards: Sequence[NumberedShard], numbers: np.ndarray) -> np.ndarray:
    """The vectors of these numbers, int64, ascending: float32 (numbers, dim)."""
    parts = []
    for one in shards:
        start, stop = np.searchsorted(numbers, [one.first_vector, one.first_vector + one.vectors])
        if start < stop:
            parts.append(one.open().searcher.vectors[numbers[start:stop] - one.first_vector])
    return np.concatenate(parts)


def items_behind(
    shards: Sequence[NumberedShard],
    excluded: Sequence[pa.Array],
    paired: np.ndarray,
    field: pa.Field | None,
) -> Iterator[pa.Table]:
    """The items that may be in a group, a table for each index shard.

    Args:
        shards: all of them.
        excluded: of each side, the ids that are taken down.
        paired: numbers of the vectors that have a near one, int64, ascending.
        field: of the metadata, that is wanted beside them.

    Yields:
        `side` (int8), `item` and `vector` (int64, their numbers), `item_id`, and `field` as it is in the index: of
        the vectors that are paired, and of those that have several items.
    """
    for one in shards:
        shard = one.open()
        rows = served_rows(shard, excluded[one.side])
        vectors = shard.numbers_of(rows)
        wanted = np.bincount(vectors, minlength=one.vectors) > 1
        start, stop = np.searchsorted(paired, [one.first_vector, one.first_vector + one.vectors])
        wanted[paired[start:stop] - one.first_vector] = True
        rows = rows[wanted[vectors]]
        columns = {
            "side": pa.array(np.full(len(rows), one.side, np.int8)),
            "item": pa.array(rows + one.first_item),
            "vector": pa.array(shard.numbers_of(rows) + one.first_vector),
            "item_id": shard.item_ids.take(pa.array(rows)),
        }
        if field is not None:
            held = field.name in shard.items.column_names
            column = shard.items[field.name] if held else pa.nulls(len(shard.items), field.type)
            columns["field"] = column.take(pa.array(rows)).cast(field.type)
        yield pa.table(columns)
