"""What an index shard lacks of what it would be built from now, and what it has too much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..store.index_manifest import ITEM_ID
from .build import IndexTask, items_schema, served_rows
from .inputs import EmbeddingInput, read_inputs
from .scores import checked
from .shard import IndexShard
from .stored import are_stored


@dataclass(frozen=True)
class Change:
    """What came and went since an index shard was built.

    Attributes:
        items: that are new, by `build.items_schema`, in order of their ids.
        vectors: theirs, float32 (items, dim).
        origins: theirs; see `IndexShard.origins`.
        of_base: the same of the items of the index shard, as of today; null where the item went.
    """

    items: pa.Table
    vectors: np.ndarray
    origins: pa.DictionaryArray
    of_base: pa.DictionaryArray

    @property
    def hidden(self) -> np.ndarray:
        """The rows of the items that went, int64 (m,), ascending."""
        return np.flatnonzero(self.of_base.indices.is_null().to_numpy(zero_copy_only=False))

    @property
    def count(self) -> int:
        """How many items are new or gone."""
        return len(self.items) + self.of_base.indices.null_count


def changed(
    base: IndexShard, origins: pa.DictionaryArray, addition: IndexShard | None, task: IndexTask
) -> Change:
    """Compares an index shard with what it would be built from now; only files that are new to it are opened.

    Args:
        base: the index shard.
        origins: of its items as of last night, null where they are hidden.
        addition: what stood beside it last night, with its origins, of the same files; None for nothing.
        task: what it would be built from.

    Raises:
        LookalikeError: if an embedding file is damaged.
        OSError: if one cannot be read.
    """
    known = set(origins.dictionary.to_pylist())
    digests: list[str] = []
    new: list[tuple[int, EmbeddingInput]] = []
    for number, source in enumerate(read_inputs(task.inputs, task.number, task.shards)):
        digests.append(source.digest)
        if source.digest not in known:
            new.append((number, source))
    files = pa.array(digests, pa.string())
    of_base = _numbers(origins, files)
    items, vectors, of_item = _rows_of(task, new)
    gone = np.flatnonzero(of_base < 0)
    found = _same(base, gone, items, vectors)
    # What was hidden may have come back, and what is the same lies in another file.
    of_base[gone[found[found >= 0]]] = of_item[found >= 0]
    is_new = np.flatnonzero(found < 0)
    parts = [(items.take(pa.array(is_new)), vectors[is_new], of_item[is_new])]
    if addition is not None:
        assert addition.origins is not None
        of_added = _numbers(addition.origins, files)
        stays = np.flatnonzero(of_added >= 0)
        parts.append((addition.items.take(pa.array(stays)), addition.vectors_of(stays), of_added[stays]))
    items = pa.concat_tables([part[0] for part in parts]).combine_chunks()
    order = pc.sort_indices(items, [(ITEM_ID, "ascending")])
    rows = order.to_numpy()
    return Change(
        items.take(order),
        np.concatenate([part[1] for part in parts])[rows],
        _origins(np.concatenate([part[2] for part in parts])[rows], files),
        _origins(of_base, files),
    )


def _numbers(origins: pa.DictionaryArray, files: pa.Array) -> np.ndarray:
    """Origins as numbers of these files: int32, -1 for another file and for null."""
    place = pc.index_in(origins.dictionary, files).fill_null(-1).to_numpy()
    # A number behind the last stands for null.
    places = np.append(place, -1).astype(np.int32)
    return places[origins.indices.fill_null(len(place)).to_numpy()]


def _origins(numbers: np.ndarray, files: pa.Array) -> pa.DictionaryArray:
    """What `_numbers` takes apart."""
    return pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32(), mask=numbers < 0), files)


def _rows_of(
    task: IndexTask, sources: Iterable[tuple[int, EmbeddingInput]]
) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """The served rows of embedding files, their vectors as an index holds them, and the numbers of their files."""
    found = [(number, *rows) for number, source in sources for rows in served_rows(task, source)]
    items = pa.Table.from_batches([batch for _, batch, _ in found], items_schema(task)).combine_chunks()
    vectors = np.concatenate([np.empty((0, task.dim), np.float32), *(vectors for _, _, vectors in found)])
    numbers = np.repeat([number for number, _, _ in found], [len(batch) for _, batch, _ in found])
    return items, checked(vectors, task.metric, dim=task.dim), numbers.astype(np.int32)


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
