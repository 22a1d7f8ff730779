"""Ids to queries: each asks with the vector of an indexed item, or with those of all pictures of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..index.members import LookedUp, members_of, settled
from ..index.post_processing import BLOCK
from ..index.query_blocks import QueryBlock
from ..index.shard import IndexShard
from .blocks import Block, Failure, with_failures
from .table_blocks import Combine, block_of, means

_GROUPS = 512
"""Ids that are looked up at once where they may name groups, of up to 100 pictures each."""


@dataclass(frozen=True)
class LookUpIds:
    """How ids are looked up.

    Attributes:
        group: the field whose values name groups; None where only items are named.
        excluded: ids of items that were taken down.
        combine: how the pictures of a group are one query.
        metric: of the index.
        size: queries in a block at most.
    """

    group: str | None
    excluded: pa.Array
    combine: Combine
    metric: str
    size: int = BLOCK

    @property
    def at_once(self) -> int:
        """How many ids are looked up at once."""
        return self.size if self.group is None else min(self.size, _GROUPS)

    def in_open(self, shards: Sequence[IndexShard], ids: pa.Array) -> LookedUp:
        """What ids stand for where all index shards are open."""
        return settled([members_of(shards, ids, self.group, self.excluded)], ids, self.excluded)


def looked_up(
    names: list[str],
    numbers: np.ndarray,
    failures: Sequence[Failure],
    found: LookedUp,
    combine: Combine,
    metric: str,
) -> Block:
    """A block of the ids that stand for vectors.

    Args:
        names: the ids.
        numbers: theirs, int64 (ids,), each once.
        failures: of what is no id.
        found: what they stand for.
        combine: how the pictures of a group are one query.
        metric: of the index.
    """
    missing = [Failure(int(numbers[i]), names[i], "lookup", error) for i, error in found.errors.items()]
    known = np.isin(np.arange(len(names)), found.place)
    vectors = np.empty((len(names), found.vectors.shape[1]), np.float32)
    kept = QueryBlock(names, vectors, numbers).only(known)
    block = with_failures(kept, sorted([*failures, *missing]))
    return with_all_vectors(block, numbers, found, combine, metric)


def looked_up_items(rows: pa.Table, found: LookedUp, combine: Combine, metric: str) -> Block:
    """The queries of rows that ask with items, or with groups, of which each has several vectors."""
    vectors = np.full((len(rows), found.vectors.shape[1]), np.nan, np.float32)
    vectors[found.place] = found.vectors
    errors = {row: ("lookup", error) for row, error in found.errors.items()}
    block = block_of(rows, vectors, errors, "best", metric, refused="vector")
    return with_all_vectors(block, rows.column(1).to_numpy(), found, combine, metric)


def with_all_vectors(
    block: Block, numbers: np.ndarray, found: LookedUp, combine: Combine, metric: str
) -> Block:
    """Queries that have one vector for each id, with all that these stand for.

    Args:
        block: the queries.
        numbers: int64 (ids,), of the queries; those that are not in the block have failed.
        found: what the ids stand for.
        combine: how several are one query.
        metric: of the index.
    """
    kept = np.isin(numbers, block.numbers)
    row = np.cumsum(kept) - 1
    of_vector = row[found.place[kept[found.place]]]
    columns = None if block.columns is None else block.columns.take(pa.array(of_vector))
    several = QueryBlock(
        [block.ids[one] for one in of_vector.tolist()],
        found.vectors[kept[found.place]],
        block.numbers[of_vector],
        columns=columns,
    )
    failed = {failure.number: failure for failure in block.failures}
    if combine == "mean":
        several = means(several, metric, failed)
    return with_failures(several, sorted(failed.values()))
