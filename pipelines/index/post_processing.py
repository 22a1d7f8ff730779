"""Query expansion and re-ranking around a search, the same for the query job and the evaluation.

An item whose id is the query's own counts neither as a neighbour nor in a short list: where it is a result, it
keeps its rank and the others are ordered around it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.encoder.manifest import MANIFEST, fingerprint, read_manifest
from lookalike.model.encoder.post_processing import (
    DatabaseAugmentation,
    PostProcessing,
    QueryExpansion,
    Reranking,
    read_post_processing,
)
from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..store.generation import Generation
from ..store.index_manifest import ITEM_ID, Metric
from .answers import Answers, ask
from .conditions import NO_CONDITIONS, Conditions
from .diversity import diverse_order
from .own_groups import left_out
from .scores import checked
from .shard import IndexShard

logger = logging.getLogger(__name__)
_NUMBERS = 1 << 23
"""Numbers held at once; 64 MiB in double precision."""
_ROWS = 1 << 20
"""Matches held at once."""
BLOCK = 65536
"""Queries that are searched at once, if neither they nor their answers are too wide. A tree without codes takes all of
them through a leaf together: of 16,384 each took 18.2 us of processor, of 65,536 16.2 (200,000 vectors of 256
dimensions)."""


def steps_of(config: Config, generation: Generation) -> PostProcessing:
    """The steps in use: those of the job's encoder around the search, and what was done to the index itself.

    Without the folder of the encoder, or with another encoder than that of the index, there are none around the
    search, and the log says so: vectors and ids can be asked for all the same.

    Raises:
        LookalikeError: if the encoder's manifest is damaged, or asks for steps that need metric: cosine.
    """
    of_index = {"database_augmentation": generation.augmentation}
    if not Path(config.encoder, MANIFEST).is_file():
        logger.info("no encoder in %s: no query expansion and no re-ranking", config.encoder)
        return PostProcessing.model_validate(of_index)
    manifest = read_manifest(config.encoder)
    steps = read_post_processing(manifest).model_copy(update=of_index)
    if not (steps.query_expansion or steps.reranking):
        return steps
    if fingerprint(manifest) != generation.encoder:
        logger.warning(
            "%s is not the encoder of the index: no query expansion and no re-ranking", config.encoder
        )
        return PostProcessing.model_validate(of_index)
    if generation.metric != "cosine":
        raise LookalikeError(
            f"Query expansion and re-ranking, which the encoder {config.encoder} asks for, need metric: cosine. "
            f"Received: {generation.metric}; `lookalike encoder tune` switches them off"
        )
    return steps


@dataclass(frozen=True)
class Pass:
    """One search over all index shards, of the one or two that an answer takes.

    Attributes:
        k: items wanted of each query.
        skips_own: whether the item whose id is the query's own is left out.
        with_vectors: whether the items' vectors are needed.
        conditions: that matches meet.
        marks_own: whether the query's own item comes first, so that `own_groups.left_out` knows its group.
    """

    k: int
    skips_own: bool
    with_vectors: bool
    conditions: Conditions = NO_CONDITIONS
    marks_own: bool = False


@dataclass(frozen=True)
class Asked:
    """What is asked of an index.

    Attributes:
        k: matches a query.
        steps: query expansion and re-ranking around the search.
        exclude_self: leave the item out whose id is the query's own.
        exact: compare with every vector.
        conditions: that matches meet. Query expansion draws to what is near whether it meets them or not; re-ranking
            orders those that do, and diversity chooses last.
        item_group: the field whose value pictures of one item have in common; with `exclude_self` all pictures of the
            query's own item are left out where matches are grouped by it. None for none.
    """

    k: int
    steps: PostProcessing = field(default_factory=PostProcessing)
    exclude_self: bool = False
    exact: bool = False
    conditions: Conditions = NO_CONDITIONS
    item_group: str | None = None

    @property
    def leaves_group_out(self) -> bool:
        """Whether all pictures of the query's own item are left out."""
        return (
            self.exclude_self and self.item_group is not None and self.conditions.group_by == self.item_group
        )

    @property
    def passes(self) -> list[Pass]:
        """The searches that it takes, one after another."""
        passes = []
        if expansion := self.steps.query_expansion:
            passes.append(Pass(expansion.k, skips_own=True, with_vectors=True))
        wide, with_vectors = self.pool, self.conditions.diversify is not None
        if reranking := self.steps.reranking:
            # One more, as the query's own item may be among them.
            wide, with_vectors = max(wide, reranking.short_list + 1), True
        if self.leaves_group_out:
            wide += self.conditions.per_group  # so many places has the group that is left out
        last = Pass(wide, self.exclude_self, with_vectors, self.conditions, self.leaves_group_out)
        return [*passes, last]

    def block(self, dim: int) -> int:
        """How many queries are asked at once at most: they fit into 64 MiB, and their answers into some 100 MB."""
        rows = min((_NUMBERS * 4 // dim if one.with_vectors else _ROWS) // one.k for one in self.passes)
        return max(1, min(BLOCK, _NUMBERS * 2 // dim, rows))

    def asked_in(
        self,
        number: int,
        shards: Sequence[IndexShard],
        queries: np.ndarray,
        ids: Sequence[str],
        excluded: Collection[str] | pa.Array,
        columns: pa.Table | None = None,
    ) -> Answers:
        """What some of the shards answer in the search of this number, from 0.

        Args:
            queries: float32 (q, dim), as the search before left them.
            ids: of the queries.
            excluded: ids of items that never appear.
            columns: of the queries, a row for each, for filters; None for none.
        """
        one = self.passes[number]
        return ask(
            shards,
            queries,
            one.k,
            exact=self.exact,
            excluded=excluded,
            skip=ids if one.skips_own else None,
            conditions=one.conditions,
            columns=columns if number == len(self.passes) - 1 else None,
            with_vectors=one.with_vectors,
            marks_own=one.marks_own,
        )

    def next_queries(self, queries: np.ndarray, answers: Answers) -> np.ndarray:
        """The queries of the second search, from the answers of all shards in the first: float32 (q, dim)."""
        assert self.steps.query_expansion is not None
        return _drawn(checked(queries, "cosine"), answers, self.steps.query_expansion)

    @property
    def pool(self) -> int:
        """How many of the matches of a query `chosen` looks at."""
        return self.conditions.pool(self.k)

    def finished(self, queries: np.ndarray, ids: Sequence[str], answers: Answers) -> Answers:
        """`pool` matches, from the answers of all shards in the last search, whose queries these are."""
        if self.leaves_group_out:
            assert self.conditions.grouping is not None
            last = self.passes[-1].k - self.conditions.per_group
            answers = left_out(answers, ids, self.conditions.grouping.field, last)
        if reranking := self.steps.reranking:
            return _reranked(checked(queries, "cosine"), ids, answers, reranking, self.pool)
        return answers

    def chosen(self, answers: Answers, metric: Metric) -> Answers:
        """The `k` matches of each query among `pool`: the diverse ones, if that is asked for."""
        if self.conditions.diversify is None:
            return answers
        return _diverse(answers, metric, self.conditions.diversify, self.k)


def search_in_steps(
    shards: Sequence[IndexShard],
    queries: np.ndarray,
    ids: Sequence[str],
    asked: Asked,
    excluded: Collection[str] | pa.Array = (),
    columns: pa.Table | None = None,
) -> Answers:
    """The matches of queries in shards that are all open, with the steps around the search.

    Args:
        queries: float32 (q, dim), at most `asked.block`.
        ids: of the queries.
        asked: what is wanted.
        excluded: ids of items that never appear.
        columns: of the queries, a row for each, for filters; None for none.

    Returns:
        `asked.pool` matches a query; how near they are is told by the query that was asked last, and does not always
        descend where items were re-ranked.
    """
    last = len(asked.passes) - 1
    for number in range(last):
        queries = asked.next_queries(queries, asked.asked_in(number, shards, queries, ids, excluded))
    return asked.finished(queries, ids, asked.asked_in(last, shards, queries, ids, excluded, columns))


def drawn_to_neighbours(
    shards: Sequence[IndexShard],
    vectors: np.ndarray,
    ids: Sequence[str] | pa.Array,
    step: QueryExpansion | DatabaseAugmentation,
    *,
    exact: bool = False,
    excluded: Collection[str] | pa.Array = (),
) -> np.ndarray:
    """Weighted means of vectors and their nearest items, those of their own ids aside.

    Args:
        vectors: float32 (n, dim), unit length.
        ids: one for each.

    Returns:
        float32 (n, dim), unit length.
    """
    means = np.empty(vectors.shape, np.float32)
    for part in _parts(len(vectors), step.k * vectors.shape[1]):
        found = ask(
            shards, vectors[part], step.k, exact=exact, excluded=excluded, skip=ids[part], with_vectors=True
        )
        means[part] = _drawn(vectors[part], found, step)
    return means


def _drawn(vectors: np.ndarray, found: Answers, step: QueryExpansion | DatabaseAugmentation) -> np.ndarray:
    near = np.zeros((*found.near.shape, vectors.shape[1]), np.float32)
    near[found.held] = found.vectors
    return step.apply(vectors, near)


def _reranked(queries: np.ndarray, ids: Sequence[str], found: Answers, step: Reranking, k: int) -> Answers:
    """The first `k` items in their new order."""
    vectors = found.vectors
    assert vectors is not None
    rows = found.rows()
    of_query = pa.array(ids, pa.string()).take(pa.array(found.query))
    own = np.zeros(rows.shape, bool)
    own[found.held] = pc.equal(found.items[ITEM_ID], of_query).to_numpy()
    first = slice(0, step.short_list + 1)
    order = short_list_order(queries, rows[:, first], own[:, first], lambda items: vectors[items], step)
    near = found.near.copy()
    near[:, first] = np.take_along_axis(near[:, first], order, axis=1)
    rows[:, first] = np.take_along_axis(rows[:, first], order, axis=1)
    return _first(found, near, rows, k)


def _diverse(found: Answers, metric: Metric, balance: float, k: int) -> Answers:
    """The `k` items that diversity chooses, in its order."""
    assert found.vectors is not None
    rows = found.rows()
    order = diverse_order(found.near, rows, found.vectors, metric, balance, k)
    return _first(
        found, np.take_along_axis(found.near, order, axis=1), np.take_along_axis(rows, order, axis=1), k
    )


def _first(found: Answers, near: np.ndarray, rows: np.ndarray, k: int) -> Answers:
    """The first `k` items of a new order: how near they are, and their rows in `found`."""
    assert found.vectors is not None
    kept = rows[:, :k][rows[:, :k] >= 0]
    return Answers(near[:, :k], found.items.take(pa.array(kept)), found.vectors[kept])


def short_list_order(
    queries: np.ndarray,
    items: np.ndarray,
    own: np.ndarray,
    vectors_of: Callable[[np.ndarray], np.ndarray],
    step: Reranking,
) -> np.ndarray:
    """The new order of the first items of each query.

    Args:
        queries: float32 (q, dim), unit length.
        items: int64 (q, w), nearest first, -1 behind the last.
        own: bool (q, w), items that keep their place and are not looked at.
        vectors_of: some of the items (m,) -> their vectors, float32 (m, dim).

    Returns:
        int64 (q, w): which place of `items` comes first, second, and so on.
    """
    dim, width = queries.shape[1], items.shape[1]
    order = np.tile(np.arange(width), (len(queries), 1))
    listed = first_of_each((items >= 0) & ~own, step.short_list)
    counts = listed.sum(axis=1)
    for count in np.unique(counts[counts > 1]).tolist():
        alike = np.flatnonzero(counts == count)
        # Some 12 arrays are made of the distances within a list.
        for part in _parts(len(alike), count * (dim + 12 * count)):
            rows = alike[part, None]
            places = np.nonzero(listed[alike[part]])[1].reshape(-1, count)
            vectors = vectors_of(items[rows, places].reshape(-1)).reshape(-1, count, dim)
            new = step.apply(queries[alike[part]], vectors)
            order[rows, places] = np.take_along_axis(places, new, axis=1)
    return order


def first_of_each(which: np.ndarray, count: int) -> np.ndarray:
    """Of bool (q, w) the first `count` in each row."""
    return which & (np.cumsum(which, axis=1) <= count)


def _parts(count: int, numbers: int) -> Iterator[slice]:
    """Slices of `count` rows of `numbers` numbers each, as many rows at once as may be held."""
    step = max(1, _NUMBERS // numbers)
    return (slice(start, start + step) for start in range(0, count, step))
