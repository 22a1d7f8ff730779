"""The order of candidates from many shards: by score, near ties by one formula, ties by item id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..store.index_manifest import ITEM_ID, Metric
from .scores import checked, nearness, pair_scores
from .shard import IndexShard

ROUNDING = 2e-6
"""Relative error of ScaNN's float32 scores, in squared distance or cosine: nearer than this is a tie."""


@dataclass(frozen=True)
class Candidates:
    """What the shards know of a block of queries: arrays of shape (queries, width).

    `near` is -inf where there is no candidate. `horizon` (queries,) is as near as an unnamed item can be.
    """

    near: np.ndarray
    shard: np.ndarray
    row: np.ndarray
    horizon: np.ndarray


def by_nearness(found: Candidates) -> Candidates:
    """Each query's candidates, nearest first."""
    order = np.argsort(-found.near, axis=1, kind="stable")
    near, shard, row = (np.take_along_axis(a, order, axis=1) for a in (found.near, found.shard, found.row))
    return Candidates(near, shard, row, found.horizon)


def level_ties(
    shards: Sequence[IndexShard], queries: np.ndarray, found: Candidates, metric: Metric
) -> Candidates:
    """Scores candidates that are nearly tied by the one formula, so that equal vectors become equal.

    ScaNN's score of a pair differs in the last bit with its position (0.4 % of pairs, measured). Scoring all
    again took 12 to 16 ms of 150 for 10,000 queries; the few near ties cost next to nothing.
    """
    near = found.near
    with np.errstate(invalid="ignore"):
        room = ROUNDING if metric == "cosine" else ROUNDING * np.abs(near[:, 1:])
        close = (near[:, :-1] - near[:, 1:] <= room) & np.isfinite(near[:, 1:])
    tied = np.flatnonzero(close.any(axis=1))
    if not len(tied):
        return found
    members = _either_side(close[tied])
    part = Candidates(near[tied], found.shard[tied], found.row[tied], found.horizon[tied])
    asked = checked(queries[tied], metric)
    for number, shard in enumerate(shards):
        of_shard = members & (part.shard == number)
        rows = np.where(of_shard, part.row, -1)
        scores = pair_scores(shard.searcher.vectors, asked, rows, metric, shard.searcher.threads)
        part.near[of_shard] = nearness(scores, metric)[of_shard]
    part = by_nearness(part)
    near, shard_of, row = found.near.copy(), found.shard.copy(), found.row.copy()
    near[tied], shard_of[tied], row[tied] = part.near, part.shard, part.row
    return Candidates(near, shard_of, row, found.horizon)


def _either_side(equal: np.ndarray) -> np.ndarray:
    """Bool (q, w - 1) of neighbours that tie -> bool (q, w) of those that are in a tie."""
    members = np.zeros((len(equal), equal.shape[1] + 1), bool)
    members[:, 1:] |= equal
    members[:, :-1] |= equal
    return members


def ties_by_id(shards: Sequence[IndexShard], found: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def gather(shards: Sequence[IndexShard], shard: np.ndarray, row: np.ndarray, name: str) -> pa.Array:
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


def _column(shard: IndexShard, name: str) -> pa.Array:
    column = shard.items[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
