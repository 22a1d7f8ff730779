"""Query expansion and re-ranking around a search, the same for the query job and the evaluation.

An item whose id is the query's own counts neither as a neighbour nor in a short list: where it is a result, it
keeps its rank and the others are ordered around it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

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
from .scores import checked
from .search import Matches, search
from .shard import IndexShard

logger = logging.getLogger(__name__)
_NUMBERS = 1 << 23
"""Numbers held at once; 64 MiB in double precision."""


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
class ServedIndex:
    """An index as it is served.

    Attributes:
        shards: of one metric, dimension and encoder.
        steps: query expansion and re-ranking; what was done to the index is done.
        excluded: ids of items that never appear.
    """

    shards: Sequence[IndexShard]
    steps: PostProcessing
    excluded: Collection[str] | pa.Array = ()


def search_in_steps(
    index: ServedIndex,
    queries: np.ndarray,
    ids: Sequence[str],
    k: int,
    *,
    exact: bool = False,
    exclude_self: bool = False,
) -> Matches:
    """As `search.search`, with the steps around it.

    Args:
        ids: of the queries.
        exclude_self: leave the item out whose id is the query's own.

    Returns:
        `k` matches a query; `score` is the cosine with the query that was asked last, and does not always descend
        where items were re-ranked.
    """
    shards, steps, excluded = index.shards, index.steps, index.excluded
    skip = ids if exclude_self else None
    if expansion := steps.query_expansion:
        queries = checked(queries, "cosine")
        queries = drawn_to_neighbours(shards, queries, ids, expansion, exact=exact, excluded=excluded)
    if not (reranking := steps.reranking):
        return search(shards, queries, k, exact=exact, excluded=excluded, skip=skip)
    # One more, as the query's own item may be among them.
    wide = max(k, reranking.short_list + 1)
    found = search(shards, queries, wide, exact=exact, excluded=excluded, skip=skip)
    found = _reranked(shards, checked(queries, "cosine"), ids, found, reranking)
    kept = found.rank <= k
    return Matches(found.query[kept], found.rank[kept], found.shard[kept], found.row[kept], found.score[kept])


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
    dim = vectors.shape[1]
    means = np.empty(vectors.shape, np.float32)
    for part in _parts(len(vectors), step.k * dim):
        found = search(shards, vectors[part], step.k, exact=exact, excluded=excluded, skip=ids[part])
        near = np.zeros((len(means[part]), step.k, dim), np.float32)
        near[found.query, found.rank - 1] = _vectors_at(shards, found.shard, found.row)
        means[part] = step.apply(vectors[part], near)
    return means


def _reranked(
    shards: Sequence[IndexShard], queries: np.ndarray, ids: Sequence[str], found: Matches, step: Reranking
) -> Matches:
    if not len(found.query):
        return found
    own = np.zeros(len(found.query), bool)
    for number, shard in enumerate(shards):
        rows = shard.rows_of(pa.array(ids, pa.string()))
        own |= (found.shard == number) & (found.row == rows[found.query])
    first = np.flatnonzero(found.rank <= step.short_list + 1)
    match = np.full((len(queries), step.short_list + 1), -1)
    match[found.query[first], found.rank[first] - 1] = first
    order = short_list_order(
        queries,
        match,
        own[match],
        lambda matches: _vectors_at(shards, found.shard[matches], found.row[matches]),
        step,
    )
    source = np.arange(len(found.query))
    source[first] = np.take_along_axis(match, order, axis=1)[match >= 0]
    return Matches(found.query, found.rank, found.shard[source], found.row[source], found.score[source])


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


def _vectors_at(shards: Sequence[IndexShard], shard: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Vectors of items at `row` of `shard`, two int arrays (m,): float32 (m, dim)."""
    vectors = np.empty((len(row), shards[0].manifest.dim), np.float32)
    for number, one in enumerate(shards):
        here = shard == number
        vectors[here] = one.vectors_of(row[here])
    return vectors
