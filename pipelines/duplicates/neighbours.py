"""Pairs of near vectors, over all index shards: each vector asks for its nearest ones, a block at a time.

    pairs/SOURCE-FIRST-GROUP.arrow  rows of `PAIRS`: what the vectors of a block found in the shards that were open

A vector asks for some neighbours; where all of them are so near that they may be copies, for more, and for `MOST` in
the end. Identical vectors are one in an index shard, so that what 500 copies to the byte have is one place.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..filesystem import files
from ..index.opening import opened_in_turn
from ..index.pieces import fitting, read_ids
from ..index.scores import checked, nearness, pair_scores
from ..index.shard import IndexShard
from ..runner import progress
from .catalogues import NumberedShard, shown_vectors

PAIRS = pa.schema([("asked", pa.int64()), ("found", pa.int64()), ("near", pa.float32())])
"""Numbers of two distinct vectors, and how near they are: higher is nearer."""
BLOCK = 1 << 14
FIRST = 10
"""Neighbours that are asked for at first; an index is tuned for as many."""
MOST = 1 << 10
_MORE = 4
LOOKED_AT = 5
"""Neighbours of a vector that may be copies although they are no nearer than others are."""


@dataclass(frozen=True)
class Nearness:
    """How near two vectors must be; higher is nearer.

    Attributes:
        least: of a pair, at least.
        copies: from which on a pair counts whatever else is near; below, the nearest `LOOKED_AT` do.
    """

    least: float
    copies: float


@dataclass(frozen=True)
class Block:
    """Some distinct vectors of an index shard.

    Attributes:
        shard: place of the shard among all.
        start, stop: of their numbers in it.
    """

    shard: int
    start: int
    stop: int

    def to_json(self) -> list[int]:
        """It in types of JSON, from which `from_json` makes the same."""
        return [self.shard, self.start, self.stop]

    @classmethod
    def from_json(cls, data: list[int]) -> Block:
        """What `to_json` was asked of."""
        return cls(*data)


def blocks_of(shards: Iterable[NumberedShard]) -> list[Block]:
    """All vectors of the catalogue itself, in blocks."""
    return [
        Block(place, start, min(one.vectors, start + BLOCK))
        for place, one in enumerate(shards)
        if not one.side
        for start in range(0, one.vectors, BLOCK)
    ]


@dataclass(frozen=True)
class FindNeighbours:
    """Blocks -> files of pairs. It travels to workers.

    Attributes:
        folder: of the run.
        shards: all index shards.
        excluded: of each side, the file of ids that are taken down.
        wanted: how near a pair must be.
        memory: bytes for the index shards that are open at once; None for half of what there is where it runs.
    """

    folder: str
    shards: tuple[NumberedShard, ...]
    excluded: tuple[str, ...]
    wanted: Nearness
    memory: int | None

    def __call__(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        side = max(one.side for one in self.shards)
        targets = [one for one in self.shards if one.side == side]
        store = targets[0].store
        note = progress.worker_note(files.join(self.folder, "progress"))
        groups = fitting(store, [one.ref for one in targets], self.memory)
        places = {one.ref.path: one for one in targets}
        excluded = read_ids(self.excluded[side])
        shown_of = functools.cache(self._source)
        for number, opened in enumerate(opened_in_turn(store, groups)):
            numbers = [places[ref.path] for ref in groups[number]]
            shown = [shown_vectors(shard, excluded) for shard in opened]
            for block in blocks:
                source, may_ask = shown_of(block.shard)
                asked = np.flatnonzero(may_ask[block.start : block.stop]) + block.start
                first = self.shards[block.shard].first_vector
                vectors = source.searcher.vectors[asked]
                found = [
                    self._pairs(vectors, asked + first, shard, one.first_vector, here)
                    for shard, one, here in zip(opened, numbers, shown, strict=True)
                ]
                path = files.join(
                    self.folder, "pairs", f"{block.shard:05}-{block.start:010}-{number:03}.arrow"
                )
                with files.write_atomic(path, lasting=False) as file, pa.ipc.new_file(file, PAIRS) as writer:
                    for columns in found:
                        writer.write_batch(pa.record_batch(list(columns), schema=PAIRS))
                told = len(asked) * len(opened)
                note.add(vectors=told, work=told)
            note.add(shards=len(opened))
            note.write()

    def _source(self, place: int) -> tuple[IndexShard, np.ndarray]:
        one = self.shards[place]
        shard = one.open()
        return shard, shown_vectors(shard, read_ids(self.excluded[one.side]))

    def _pairs(
        self, vectors: np.ndarray, numbers: np.ndarray, shard: IndexShard, first: int, shown: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns of `PAIRS`: what some vectors found in one index shard.

        Args:
            vectors: float32 (n, dim).
            numbers: theirs, int64 (n,).
            shard: that is asked.
            first: number of its first vector.
            shown: which of its vectors have an item that is served.
        """
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        pending, k = np.arange(len(vectors) if len(shard.searcher) else 0), FIRST
        while len(pending):
            unsettled = []
            # Some 100 MB of answers at a time.
            step = max(1, (BLOCK * FIRST * 4) // k)
            for start in range(0, len(pending), step):
                part = pending[start : start + step]
                rows, near = _nearest(shard, vectors[part], k)
                more = (
                    (near[:, -1] >= self.wanted.copies)
                    if k < min(MOST, len(shard.searcher))
                    else np.zeros(len(part), bool)
                )
                unsettled.append(part[more])
                rows, near, of = rows[~more], near[~more], numbers[part[~more]]
                near[(rows < 0) | ~shown[rows] | (rows + first == of[:, None])] = -np.inf
                rank = np.cumsum(~np.isneginf(near), axis=1)
                kept = (near >= self.wanted.copies) | ((near >= self.wanted.least) & (rank <= LOOKED_AT))
                query, column = np.nonzero(kept)
                found.append((of[query], rows[query, column] + first, near[query, column]))
            pending = np.concatenate(unsettled)
            k = min(k * _MORE, MOST)
        if not found:
            found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
        asked, others, near = (np.concatenate(column) for column in zip(*found, strict=True))
        return asked, others, near


def _nearest(shard: IndexShard, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the `k` nearest vectors of an index shard and itself, and how near they are: (n, k + 1) each."""
    metric, searcher = shard.manifest.metric, shard.searcher
    width = min(k + 1, len(searcher))
    rows, _ = searcher.search(vectors, width)
    scores = pair_scores(searcher.vectors, checked(vectors, metric), rows, metric, searcher.threads)
    return rows, nearness(scores, metric)
