"""What is asked with by an id: the vector of the item with that id, or those of all pictures of a group.

An id that is both of an item and of a group means the item. Where the index does not fit into memory, what each of its
shards has is found for itself (`members_of`) and then put together (`settled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .groups import texts_of
from .shard import IndexShard
from .shown import gone_from

NO_ITEM = "no indexed item has this id"
TAKEN_DOWN = "the item with this id was taken down"
MOST_PICTURES = 100
"""Pictures of one query: each is searched for."""


@dataclass(frozen=True)
class Members:
    """Items that ids name: parallel arrays of m rows.

    Attributes:
        place: int64 (m,), position of the id among those that were asked for.
        item_ids: text (m,).
        is_item: bool (m,), whether the id is that of the item, not of its group.
        vectors: float32 (m, dim).
    """

    place: np.ndarray
    item_ids: pa.Array
    is_item: np.ndarray
    vectors: np.ndarray

    def only(self, rows: np.ndarray) -> Members:
        """Some of the rows, by a mask or in an order."""
        kept = pa.array(np.flatnonzero(rows) if rows.dtype == bool else rows)
        return Members(self.place[rows], self.item_ids.take(kept), self.is_item[rows], self.vectors[rows])


@dataclass(frozen=True)
class LookedUp:
    """The vectors that ids stand for.

    Attributes:
        place: int64 (m,), ascending: position of the id.
        vectors: float32 (m, dim).
        errors: position of an id that stands for nothing -> why.
    """

    place: np.ndarray
    vectors: np.ndarray
    errors: dict[int, str]


def members_of(shards: Sequence[IndexShard], ids: pa.Array, group: str | None, excluded: pa.Array) -> Members:
    """The items of some index shards that ids name.

    Args:
        shards: at least one.
        ids: text, null or empty for none.
        group: the field whose values name groups; None where only items are named.
        excluded: ids of items that were taken down: no group asks with them.
    """
    found = []
    names_group = np.full(len(ids), group is not None)
    for shard in shards:
        rows = shard.rows_of(ids)
        place = np.flatnonzero(rows >= 0)
        names_group[place] = False
        found.append((shard, place, rows[place], np.ones(len(place), bool)))
    if group is not None and names_group.any():
        groups = pc.if_else(pa.array(names_group), ids.cast(pa.string()), None)
        for shard in shards:
            place, rows = _rows_of_groups(shard, groups, group, gone_from(shard, excluded))
            found.append((shard, place, rows, np.zeros(len(place), bool)))
    return Members(
        np.concatenate([place for _, place, _, _ in found]),
        pa.concat_arrays([shard.item_ids.take(pa.array(rows)) for shard, _, rows, _ in found]),
        np.concatenate([is_item for _, _, _, is_item in found]),
        np.concatenate([shard.vectors_of(rows) for shard, _, rows, _ in found]),
    )


def _rows_of_groups(
    shard: IndexShard, ids: pa.Array, group: str, gone: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of ids and rows of the items in their groups, of each group one more than may be asked with."""
    distinct = pc.drop_null(ids.filter(pc.not_equal(ids, ""))).unique()
    code = pc.index_in(texts_of(shard.items[group]), distinct, skip_nulls=True).fill_null(-1)
    code = code.to_numpy(zero_copy_only=False).astype(np.int64)
    code[gone] = -1
    rows = np.flatnonzero(code >= 0)
    rows = rows[np.argsort(code[rows], kind="stable")]
    begins = np.searchsorted(code[rows], np.arange(len(distinct)))
    ends = np.searchsorted(code[rows], np.arange(len(distinct)), side="right")
    counts = np.minimum(ends - begins, MOST_PICTURES + 1)
    asked = pc.index_in(ids, distinct, skip_nulls=True).fill_null(-1)
    asked = asked.to_numpy(zero_copy_only=False).astype(np.int64)
    known = np.flatnonzero(asked >= 0)
    many = counts[asked[known]]
    place = np.repeat(known, many)
    within = np.arange(len(place)) - np.repeat(np.cumsum(many) - many, many)
    return place, rows[np.repeat(begins[asked[known]], many) + within]


def settled(parts: Sequence[Members], ids: pa.Array, excluded: pa.Array) -> LookedUp:
    """What ids stand for, from what all index shards have; the pictures of a group in the order of their ids.

    Args:
        parts: of all index shards, at least one.
        ids: as they were asked for.
        excluded: ids of items that were taken down.
    """
    found = Members(
        np.concatenate([part.place for part in parts]),
        pa.concat_arrays([part.item_ids for part in parts]),
        np.concatenate([part.is_item for part in parts]),
        np.concatenate([part.vectors for part in parts]),
    )
    as_items = np.zeros(len(ids), bool)
    as_items[found.place[found.is_item]] = True
    taken_down = pc.is_in(ids.cast(pa.string()), excluded, skip_nulls=True).to_numpy(zero_copy_only=False)
    found = found.only((found.is_item | ~as_items[found.place]) & ~taken_down[found.place])
    counts = np.bincount(found.place, minlength=len(ids))
    errors = dict.fromkeys(np.flatnonzero(counts == 0).tolist(), NO_ITEM)
    errors |= dict.fromkeys(np.flatnonzero(taken_down).tolist(), TAKEN_DOWN)
    too_many = f"expected at most {MOST_PICTURES} pictures of one query. Received: a group of more pictures"
    errors |= dict.fromkeys(np.flatnonzero(counts > MOST_PICTURES).tolist(), too_many)
    found = found.only(counts[found.place] <= MOST_PICTURES)
    # Arrow compares text by its UTF-8 bytes.
    order = np.lexsort((pc.rank(found.item_ids).to_numpy(zero_copy_only=False), found.place))
    return LookedUp(found.place[order], found.vectors[order], errors)
