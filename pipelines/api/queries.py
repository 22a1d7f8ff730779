"""Queries of a program, images, vectors or ids of items, as blocks that the query job answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lookalike.model.encoder.bundle import BATCH
from lookalike.model.errors import LookalikeError

from ..index.query_blocks import QueryBlock
from ..index.shard import IndexShard
from ..query.blocks import Block, Failure, parted, unsearchable, with_failures
from ..query.inputs import IMAGE_BLOCK
from ..query.look_up import LookUpIds, looked_up
from .encoders import Encoder

if TYPE_CHECKING:
    from .images import Image

Names = Iterator[str]
"""An id for each query, however many there are."""


def names_of(query_ids: Iterable[str] | None) -> Names:
    """The ids of queries; without any, their positions from 0."""
    if query_ids is None:
        return map(str, count())
    if isinstance(query_ids, str):
        raise LookalikeError(f"Expected several query_ids. Received: the text {query_ids!r}")
    return texts_of(query_ids, "query_ids")


def image_blocks(
    images: Image | Iterable[Image], names: Names, encoder: Encoder, metric: str
) -> Iterator[Block]:
    """Queries that are images, so many at a time as the query job searches for."""
    start = 0
    coming = encoder.batches(images)
    while batches := list(islice(coming, -(-IMAGE_BLOCK // BATCH))):
        vectors = np.concatenate([one for one, _ in batches])
        places = np.cumsum([0, *(len(one) for one, _ in batches)]).tolist()
        errors = {
            place + row: why
            for place, (_, wrong) in zip(places, batches, strict=False)
            for row, why in wrong.items()
        }
        yield _block(_next_names(names, len(vectors)), vectors, start, errors, metric, "encode")
        start += len(vectors)


def vector_blocks(vectors: object, names: Names, dim: int, metric: str, size: int) -> Iterator[Block]:
    """Queries that are vectors, `size` at a time.

    Args:
        vectors: what NumPy makes an array of numbers of, (queries, dim), or (dim,) for one; or a column of such.
        names: of the queries.
        dim: of the index.
        metric: of the index.
        size: queries in a block.

    Raises:
        LookalikeError: for anything else.
    """
    array = _as_array(vectors, dim)
    for start in range(0, len(array), size):
        part = array[start : start + size]
        yield _block(_next_names(names, len(part)), part, start, {}, metric, "vector")


def _as_array(vectors: object, dim: int) -> np.ndarray:
    try:
        if isinstance(vectors, pa.ChunkedArray):
            vectors = vectors.combine_chunks()
        if isinstance(vectors, pa.FixedSizeListArray) and not vectors.null_count:
            numbers = vectors.flatten().to_numpy(zero_copy_only=False)
            vectors = numbers.reshape(-1, vectors.type.list_size)
        elif isinstance(vectors, pa.Array):
            vectors = vectors.to_pylist()
        array = np.asarray(vectors)
        if array.ndim == 1:
            array = array[None] if array.dtype != object else np.stack(list(array))
        if array.dtype.kind not in "fiu":
            raise ValueError
        with np.errstate(over="ignore"):  # what is too large for float32 fails as a query
            array = array.astype(np.float32)
    except ValueError:
        raise LookalikeError(
            f"Expected vectors, each of {dim} numbers. Received: {type(vectors).__name__}"
        ) from None
    if not array.size:
        return np.empty((0, dim), np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise LookalikeError(
            f"Expected vectors of {dim} dimensions, as the index has. Received: {array.shape}"
        )
    return array


def id_blocks(
    ids: str | Iterable[str], names: Names | None, shards: Sequence[IndexShard], how: LookUpIds
) -> Iterator[Block]:
    """Queries that are items of the index, or groups of them.

    Args:
        ids: of the items.
        names: of the queries; None for those of the items.
        shards: of the index.
        how: ids are looked up.
    """
    coming = texts_of([ids] if isinstance(ids, str) else ids, "ids")
    start = 0
    while part := list(islice(coming, how.at_once)):
        numbers = np.arange(start, start + len(part))
        found = how.in_open(shards, pa.array(part))
        block = looked_up(part, numbers, [], found, how.combine, how.metric)
        if names is not None:
            ours = _next_names(names, len(part))
            failures = [one._replace(query_id=ours[one.number - start]) for one in block.failures]
            named = QueryBlock(
                [ours[n - start] for n in block.numbers.tolist()], block.vectors, block.numbers
            )
            block = with_failures(named, failures)
        yield from parted(block, how.size)
        start += len(part)


def _block(
    ids: list[str],
    vectors: np.ndarray,
    start: int,
    errors: dict[int, tuple[str, str]],
    metric: str,
    refused: str,
) -> Block:
    """Queries of which the first is number `start`; those that the search would refuse fail at the stage `refused`."""
    fine = [row for row in range(len(ids)) if row not in errors]
    told = errors | {fine[n]: (refused, why) for n, why in unsearchable(vectors[fine], metric).items()}
    kept = np.array([row not in told for row in range(len(ids))], bool)
    block = QueryBlock(ids, vectors, np.arange(start, start + len(ids))).only(kept)
    return with_failures(block, [Failure(start + row, ids[row], *told[row]) for row in sorted(told)])


def _next_names(names: Names, wanted: int) -> list[str]:
    found = list(islice(names, wanted))
    if len(found) < wanted:
        raise LookalikeError("Expected an id for each query in query_ids. Received: fewer")
    return found


def texts_of(texts: Iterable[str], what: str) -> Iterator[str]:
    """Ids, one after another, which are Arrow's texts, too. Raises LookalikeError for what is none."""
    if not isinstance(texts, Iterable):
        raise LookalikeError(f"Expected texts as {what}. Received: {texts!r}")
    for text in texts:
        if isinstance(text, pa.StringScalar):
            text = text.as_py()
        if not isinstance(text, str) or not text or _has_half_character(text):
            raise LookalikeError(f"Expected texts as {what}, none of them empty. Received: {text!r}")
        yield text


def _has_half_character(text: str) -> bool:
    """Whether it cannot be written as UTF-8, as names of files may be."""
    return any("\ud800" <= character <= "\udfff" for character in text)
