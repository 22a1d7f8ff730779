"""Several pictures of one query: what is found for each becomes one answer, in which an item has its best score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..index.answers import Answers
from ..index.groups import Grouping, codes_of, first_in_runs
from ..index.query_blocks import QueryBlock
from ..store.index_manifest import ITEM_ID


def one_answer_each(
    block: QueryBlock, answers: Answers, k: int, grouping: Grouping | None = None
) -> tuple[QueryBlock, Answers]:
    """A block with the first row of each query, and the answers to these; see `best_of`."""
    if block.is_first.all():
        return block, answers
    return block.only(block.is_first), best_of(answers, block.numbers, k, grouping)


def best_of(answers: Answers, numbers: np.ndarray, k: int, grouping: Grouping | None = None) -> Answers:
    """One answer a query, of those to its rows: the `k` items nearest to any of them, ties by id.

    These are the best of all: an item that is among the first `k` by its best score is among the first `k` of the row
    that gives it, also within a limit to groups (see `ordering.first_of`). The answer to a query of one row stays as it
    is, whatever its order.

    Args:
        answers: to rows, at least `k` wide.
        numbers: int64 (rows,), ascending; rows of one number are one query.
        k: items a query.
        grouping: limits those of a group; None does not.
    """
    starts = np.unique(numbers, return_index=True)[1]
    counts = np.diff(np.append(starts, len(numbers)))
    query = np.repeat(np.arange(len(starts)), counts)[answers.query]
    near = answers.near[answers.held]
    place = (
        pc.rank(answers.items[ITEM_ID], tiebreaker="dense").to_numpy(zero_copy_only=False).astype(np.int64)
    )
    joined = counts[query] > 1
    # What is one row's keeps its ranks; the others are put in order, each item once.
    key = np.where(joined, -near.astype(np.float64), answers.rank)
    order = np.lexsort((np.where(joined, place, 0), key, query))
    _, best = np.unique(np.stack([query[order], place[order]]), axis=1, return_index=True)
    order = order[np.sort(best)]
    if grouping is not None:
        codes = codes_of(answers.items[grouping.field])[order]
        order = order[first_in_runs(query[order], codes, grouping.per_group)]
    rank = np.arange(len(order)) - np.searchsorted(query[order], query[order])
    order, rank = order[rank < k], rank[rank < k]
    table = np.full((len(starts), min(k, answers.near.shape[1])), -np.inf, np.float32)
    table[query[order], rank] = near[order]
    items = answers.items.take(pa.array(order))
    return Answers(table, items, None if answers.vectors is None else answers.vectors[order])
