"""Rows of a query table to queries: pictures are fetched and encoded, items looked up, several rows are one query."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from lookalike.model.images.boxes import Box, PartOfImage

from ..filesystem import files
from ..index.query_blocks import QueryBlock
from ..index.scores import checked
from ..sources import SourceOptions
from .blocks import Block, Failure, unsearchable, with_failures
from .fetching import UnreadableError, fetch
from .table_rows import carried_of
from .words import mixed

if TYPE_CHECKING:
    from lookalike.model.encoder.bundle import Encoder

Combine = Literal["best", "mean"]
Errors = dict[int, tuple[str, str]]
"""Row -> stage and error."""
_FETCHED_AT_ONCE = 8


def asked_rows(
    coming: Iterator[pa.Table],
    open_encoder: Callable[[], Encoder] | None,
    options: SourceOptions,
    combine: Combine,
    metric: str,
    *,
    suspect: bool = False,
) -> Iterator[Block]:
    """The queries of rows that ask with pictures, for which the encoder is opened, or where it is None with vectors or
    words.

    Arguments are those of `encoded_rows`.
    """
    encoder = open_encoder() if open_encoder else None
    for rows in coming:
        if encoder is None:
            yield with_vectors(rows, combine, metric)
        else:
            yield encoded_rows(rows, encoder, options, suspect=suspect, combine=combine, metric=metric)


def encoded_rows(
    rows: pa.Table, encoder: Encoder, options: SourceOptions, *, suspect: bool, combine: Combine, metric: str
) -> Block:
    """The queries of rows that ask with pictures.

    Args:
        rows: as `table_rows.read_table` gives them.
        encoder: of the index.
        options: how large an image may be.
        suspect: whether one of them may be what ended a process before.
        combine: how several pictures are one query.
        metric: of the index.
    """
    from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES

    errors: Errors = {}
    vectors = np.full((len(rows), encoder.dim), np.nan, np.float32)
    waiting: deque[list[int]] = deque()

    def batches() -> Iterator[Sequence[bytes | PartOfImage]]:
        batch: list[bytes | PartOfImage] = []
        places: list[int] = []
        boxes = rows.column(3)
        for row, data in pictures_of(rows, options):
            if isinstance(data, UnreadableError):
                errors[row] = ("read", str(data))
                continue
            edges = boxes[row].as_py()
            batch.append(PartOfImage(data, Box(*edges)) if edges else data)
            places.append(row)
            if len(batch) == BATCH or sum(map(len, batch)) > BATCH_BYTES:
                waiting.append(places)
                yield batch
                batch, places = [], []
        if batch:
            waiting.append(places)
            yield batch

    for found in encoder.map(batches(), suspect=suspect):
        places = waiting.popleft()
        vectors[places] = found.vectors
        errors |= {places[i]: ("decode", error) for i, error in found.errors.items()}
    return block_of(rows, mixed(vectors, rows), errors, combine, metric, refused="encode")


def pictures_of(rows: pa.Table, options: SourceOptions) -> Iterator[tuple[int, bytes | UnreadableError]]:
    """The encoded pictures of the rows that have no error yet, remote ones fetched some at a time."""
    values = rows.column(2)
    asking = np.flatnonzero(rows.column(4).is_null().to_numpy() & values.is_valid().to_numpy()).tolist()
    if pa.types.is_large_binary(values.type):
        for row in asking:
            data = values[row].as_py()
            too_large = len(data) > options.max_bytes
            yield row, UnreadableError(options.too_large(len(data))) if too_large else data
        return
    paths = (values[row].as_py() for row in asking)
    yield from zip(
        asking, files.each_read(paths, partial(fetch, options=options), _FETCHED_AT_ONCE), strict=True
    )


def with_vectors(rows: pa.Table, combine: Combine, metric: str) -> Block:
    """The queries of rows that ask with vectors, or with words, which are vectors by now."""
    values = rows.column(2).combine_chunks()
    vectors = values.flatten().to_numpy().reshape(len(rows), -1)
    return block_of(rows, vectors, {}, combine, metric, refused="vector")


def block_of(
    rows: pa.Table, vectors: np.ndarray, errors: Errors, combine: Combine, metric: str, refused: str
) -> Block:
    """A block of the queries that can be asked. One of several rows fails if one of them does.

    Args:
        rows: as `table_rows.read_table` gives them.
        vectors: float32 (rows, dim), anything in the rows of errors.
        errors: of the rows, beside those that they had before.
        combine: `mean` makes one vector of several; `best` leaves them, under one number.
        metric: of the index.
        refused: the stage of vectors that cannot be searched.
    """
    ids, numbers = rows.column(0).to_pylist(), rows.column(1).to_numpy()
    told = zip(rows.column(4).to_pylist(), rows.column(5).to_pylist(), strict=True)
    before = {row: (stage, error) for row, (stage, error) in enumerate(told) if stage}
    errors = errors | before
    fine = np.array([row not in errors for row in range(len(ids))], bool)
    for place, error in unsearchable(vectors[fine], metric).items():
        errors[int(np.flatnonzero(fine)[place])] = (refused, error)
    first = np.searchsorted(numbers, numbers)
    failed: dict[int, Failure] = {}
    for row in sorted(errors):
        stage, error = errors[row]
        count = int((first == first[row]).sum())
        if count > 1 and stage != "query":
            error = f"row {row - first[row] + 1} of {count} of this query: {error}"
        failed.setdefault(int(numbers[row]), Failure(int(numbers[row]), ids[row], stage, error))
    carried = carried_of(rows)
    columns = None if carried is None else carried.take(pa.array(first))
    good = QueryBlock(ids, vectors, numbers, columns=columns).only(~np.isin(numbers, list(failed)))
    if combine == "mean":
        good = means(good, metric, failed)
    return with_failures(good, sorted(failed.values()))


def means(block: QueryBlock, metric: str, failed: dict[int, Failure]) -> QueryBlock:
    """One vector a query: for cosine the mean of unit vectors, by which items are in the order of their mean score."""
    numbers, first, counts = np.unique(block.numbers, return_index=True, return_counts=True)
    one = block.only(np.isin(np.arange(len(block.ids)), first))
    vectors = one.vectors.copy()
    for place in np.flatnonzero(counts > 1).tolist():
        several = block.vectors[first[place] : first[place] + counts[place]]
        vectors[place] = checked(several, "cosine" if metric == "cosine" else "euclidean").mean(axis=0)
    errors = unsearchable(vectors, metric)
    for place, error in errors.items():
        number = int(numbers[place])
        failed[number] = Failure(number, one.ids[place], "vector", f"the mean of its vectors: {error}")
    found = QueryBlock(one.ids, vectors, one.numbers, columns=one.columns)
    return found.only(~np.isin(np.arange(len(one.ids)), list(errors)))
