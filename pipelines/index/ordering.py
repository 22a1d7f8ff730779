"""The order of candidates from many shards: by score, ties by item id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..store.index_manifest import ITEM_ID
from .groups import Grouping, codes_of, first_of_groups

ROUNDING = 2e-6
"""Relative error of ScaNN's float32 scores, in squared distance or cosine: nearer than this is a tie."""


class HasItems(Protocol):
    """What has a table of items, `item_id` among its columns: an index shard, or answers that were found before."""

    @property
    def items(self) -> pa.Table: ...


@dataclass(frozen=True)
class Candidates:
    """What is known of a block of queries: arrays of shape (queries, width).

    `near` is -inf where there is no candidate.
    """

    near: np.ndarray
    shard: np.ndarray
    row: np.ndarray


def by_nearness(found: Candidates) -> Candidates:
    """Each query's candidates, nearest first."""
    wrong = np.flatnonzero((found.near[:, 1:] > found.near[:, :-1]).any(axis=1))
    if not len(wrong):
        return found
    order = np.argsort(-found.near[wrong], axis=1, kind="stable")
    near, shard, row = found.near.copy(), found.shard.copy(), found.row.copy()
    for array in (near, shard, row):
        array[wrong] = np.take_along_axis(array[wrong], order, axis=1)
    return Candidates(near, shard, row)


def first_of(
    sources: Sequence[HasItems], parts: Sequence[Candidates], k: int, grouping: Grouping | None = None
) -> Candidates:
    """The first `k` candidates of each query from all parts: nearest first, ties by id.

    With a limit to groups, parts that each have their own first `k` within it are enough. Let x be a match whose part
    has k others before it. Of every group at least as many are before x in all parts together as in that one, as far
    as the limit lets either count them; so k are before x there too, and it is no match.

    Args:
        sources: what the candidates' shards are numbers of.
        parts: of the same queries; none is wider than it is in order, ties aside.
        k: how many.
        grouping: limits those of a group; None does not.
    """
    found = Candidates(
        *(np.concatenate([getattr(part, of) for part in parts], axis=1) for of in ("near", "shard", "row"))
    )
    near, shard, row = ties_by_id(sources, by_nearness(found))
    if grouping is not None:
        codes = np.full(near.shape, -1, np.int64)
        held = ~np.isneginf(near)
        codes[held] = codes_of(gather(sources, shard[held], row[held], grouping.field))
        return within_groups(Candidates(near, shard, row), codes, grouping.per_group, k)
    return Candidates(near[:, :k], shard[:, :k], row[:, :k])


def within_groups(found: Candidates, codes: np.ndarray, per_group: int, k: int) -> Candidates:
    """The first `k` candidates of each query, of a group no more than the limit.

    Args:
        found: (q, w), in order.
        codes: int64 (q, w), equal for those of a group; what it is where there is no candidate means nothing.
    """
    kept = first_of_groups(codes, per_group) & ~np.isneginf(found.near)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    near = np.where(kept, found.near, np.float32(-np.inf))
    return Candidates(*(np.take_along_axis(one, order, axis=1) for one in (near, found.shard, found.row)))


def _either_side(equal: np.ndarray) -> np.ndarray:
    """Bool (q, w - 1) of neighbours that tie -> bool (q, w) of those that are in a tie."""
    members = np.zeros((len(equal), equal.shape[1] + 1), bool)
    members[:, 1:] |= equal
    members[:, :-1] |= equal
    return members


def ties_by_id(shards: Sequence[HasItems], found: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """near, shard and row of sorted candidates, those that tie put in order of their ids as UTF-8 bytes."""
    near, shard, row = found.near, found.shard, found.row
    equal = (near[:, 1:] == near[:, :-1]) & ~np.isneginf(near[:, 1:])
    tied = np.flatnonzero(equal.any(axis=1))
    if not len(tied):
        return near, shard, row
    part_near, part_shard, part_row = near[tied], shard[tied], row[tied]
    of_tie = _either_side(equal[tied])
    place = np.zeros(part_near.shape, np.int64)
    ids = gather(shards, part_shard[of_tie], part_row[of_tie], ITEM_ID)
    # Arrow compares strings by their UTF-8 bytes.
    place[of_tie] = pc.rank(ids, tiebreaker="dense").to_numpy(zero_copy_only=False)
    order = np.lexsort((place, -part_near), axis=1)
    near, shard, row = near.copy(), shard.copy(), row.copy()
    shard[tied] = np.take_along_axis(part_shard, order, axis=1)
    row[tied] = np.take_along_axis(part_row, order, axis=1)
    return near, shard, row


def gather(shards: Sequence[HasItems], shard: np.ndarray, row: np.ndarray, name: str) -> pa.Array:
    """Column `name` of the items at `row` of `shard`, two int arrays of shape (m,)."""
    if len(shards) == 1:
        return _column(shards[0], name).take(pa.array(row))
    pieces, places = [], []
    for number, one in enumerate(shards):
        place = np.flatnonzero(shard == number)
        if len(place):
            pieces.append(_column(one, name).take(pa.array(row[place])))
            places.append(place)
    if not pieces:
        return _column(shards[0], name).slice(0, 0)
    back = np.empty(len(row), np.int64)
    back[np.concatenate(places)] = np.arange(len(row))
    return pa.concat_arrays(pieces).take(pa.array(back))


def _column(shard: HasItems, name: str) -> pa.Array:
    column = shard.items[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
