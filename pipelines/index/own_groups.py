"""The pictures of the item that a query is one of, left out of its answer with their whole group.

Which group that is, only the index shard knows that has the query's own picture. It puts that picture before all
others, infinitely near (`search.search` with `marks_own`): so it goes along with the answers, takes one of the places
that its group has, and in the end tells what is to be left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .answers import Answers
from .groups import texts_of


def left_out(answers: Answers, ids: Sequence[str] | pa.Array, field: str, k: int) -> Answers:
    """The first `k` matches of each query that are not of its own group.

    That is the group of the item that is marked; of a query without one, the group whose value is its id.

    Args:
        answers: of all index shards, with what is marked.
        ids: of the queries.
        field: by which answers are grouped.
    """
    query, near = answers.query, answers.near[answers.held]
    groups = texts_of(answers.items[field])
    is_own = np.isposinf(near)
    marked = np.zeros(len(answers.near), bool)
    marked[query[is_own]] = True
    own = pc.replace_with_mask(pa.array(ids, pa.string()), pa.array(marked), groups.filter(pa.array(is_own)))
    of_own = pc.equal(groups, own.take(pa.array(query))).fill_null(False)
    kept = ~(is_own | of_own.to_numpy(zero_copy_only=False))
    before = np.cumsum(kept) - kept
    place = before - before[np.searchsorted(query, query)]
    kept &= place < k
    table = np.full((len(answers.near), k), -np.inf, np.float32)
    table[query[kept], place[kept]] = near[kept]
    vectors = None if answers.vectors is None else answers.vectors[kept]
    return Answers(table, answers.items.filter(pa.array(kept)), vectors)
