"""Files of queries in: images, vectors or ids of indexed items, each as an id and a vector or a failure."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from lookalike.model.encoder.manifest import fingerprint as fingerprint_of
from lookalike.model.encoder.manifest import read_manifest
from lookalike.model.errors import LookalikeError

from ..config.job import Config, Corpus
from ..filesystem.text import lines
from ..index.post_processing import BLOCK
from ..index.shard import IndexShard
from ..sources import Shard, SourceOptions, read_records
from ..sources.fields import escape
from ..sources.records import Record, Reject
from ..store.generation import Generation
from .blocks import Block, Failure, parted, unsearchable
from .look_up import LookUpIds, looked_up, looked_up_items
from .query_files import image_shards, kind_of_parquet, query_table, table_files
from .query_table import QueryTable, form_of
from .table_blocks import Combine, asked_rows
from .table_rows import read_table
from .vector_files import vector_blocks

if TYPE_CHECKING:
    from lookalike.model.encoder.bundle import Encoder
    from lookalike.model.text.encoder import TextEncoder

IMAGE_BLOCK = 512
"""The same for queries that are images: encoding takes far longer, and answers should appear while it lasts."""
Kind = Literal["images", "vectors", "ids", "table"]


def kind_of(path: str) -> Kind:
    """What a path of queries holds: a `.txt` file ids, a query table rows (see `query_files`), all else images.

    Raises:
        LookalikeError: if the path does not exist, or Parquet cannot be read.
    """
    if path.endswith(".txt"):
        return "ids"
    if not (listed := table_files(path)):
        return "images"
    if form_of(listed[0].path) != "parquet":
        return "table"
    return kind_of_parquet(listed[0].path)


def query_options(corpus: Corpus, metadata: Mapping[str, str] | None = None) -> SourceOptions:
    """How image shards of queries are read: as the corpus is, but in a format and with an id of their own.

    Args:
        corpus: how the corpus is read. An `item_id` that is one of its fields is left aside, as queries need have none.
        metadata: fields that are wanted, name -> type.
    """
    options = replace(corpus.source_options(), format=None, metadata=metadata or {})
    return replace(options, item_id="key") if options.id_from_field else options


def image_blocks(
    path: str,
    corpus: Corpus,
    metric: str,
    open_encoder: Callable[[], Encoder],
    *,
    suspect: bool = False,
    size: int = BLOCK,
) -> Iterator[Block]:
    """Queries from image shards or a folder of images; read as the corpus is, its metadata left aside.

    Args:
        path: of them.
        corpus: how the corpus is read.
        metric: of the index.
        open_encoder: opens the encoder.
        suspect: whether one of the images may be what ended a process before.
        size: queries in a block at most.

    Raises:
        LookalikeError: if nothing matches.
    """
    options = query_options(corpus)
    shards = image_shards(path, options)
    encoder = open_encoder()
    for shard in shards:
        yield from encoded_blocks(shard, options, metric, encoder, suspect=suspect, size=size)


def encoded_blocks(
    shard: Shard,
    options: SourceOptions,
    metric: str,
    encoder: Encoder,
    *,
    suspect: bool,
    size: int,
    place: str | None = None,
) -> Iterator[Block]:
    """The queries of one shard. Of its images only those that wait for a thread are in memory.

    Args:
        shard: to read.
        options: how.
        metric: of the index.
        encoder: of it.
        suspect: whether one of the images may be what ended a process before.
        size: queries in a block at most.
        place: of the shard, as people know it, for what has no id; None where the shard knows.
    """
    from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES

    place = shard.place if place is None else place
    size = max(1, min(size, IMAGE_BLOCK) - BATCH + 1)
    failures: list[Failure] = []
    waiting: deque[list[Record]] = deque()

    def unreadable(reject: Reject) -> None:
        name = reject.item_id or f"{escape(place)}#{reject.position}"
        failures.append(Failure(reject.position, name, reject.stage, reject.error))

    def batches() -> Iterator[list[bytes]]:
        records = read_records(shard, options, unreadable)
        while chunk := _next_batch(records, BATCH, BATCH_BYTES):
            waiting.append([replace(record, image=b"") for record in chunk])
            yield [record.image for record in chunk]

    ids: list[str] = []
    numbers: list[int] = []
    vectors = [np.empty((0, encoder.dim), np.float32)]
    for encoded in encoder.map(batches(), suspect=suspect):
        records = waiting.popleft()
        errors = {i: ("decode", error) for i, error in encoded.errors.items()}
        readable = [i for i in range(len(records)) if i not in errors]
        refused = unsearchable(encoded.vectors[readable], metric)
        errors |= {readable[n]: ("encode", error) for n, error in refused.items()}
        failures += [Failure(records[i].position, records[i].item_id, *why) for i, why in errors.items()]
        good = [i for i in readable if i not in errors]
        ids += [records[i].item_id for i in good]
        numbers += [records[i].position for i in good]
        vectors.append(encoded.vectors[good])
        if len(ids) + len(failures) >= size:
            # What was read, but not encoded yet, has failures behind these.
            told = sorted(failure for failure in failures if failure.number <= records[-1].position)
            failures[:] = [failure for failure in failures if failure.number > records[-1].position]
            yield Block(ids, np.concatenate(vectors), np.array(numbers), told)
            ids, numbers, vectors = [], [], vectors[:1]
    if ids or failures:
        yield Block(ids, np.concatenate(vectors), np.array(numbers), sorted(failures))


def _next_batch(records: Iterator[Record], most: int, most_bytes: int) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in islice(records, most):
        batch.append(record)
        size += len(record.image)
        if size > most_bytes:
            break
    return batch


def id_blocks(path: str, shards: Sequence[IndexShard], how: LookUpIds) -> Iterator[Block]:
    """Queries from a text file of ids; see `text_ids`."""
    for names, numbers, failures in text_ids(path, how.at_once):
        found = how.in_open(shards, pa.array(names, pa.string()))
        yield from parted(looked_up(names, numbers, failures, found, how.combine, how.metric), how.size)


def text_ids(path: str, size: int = BLOCK) -> Iterator[tuple[list[str], np.ndarray, list[Failure]]]:
    """Ids from a text file with one on each line and their numbers, empty lines skipped; and those that are no text.

    Raises:
        LookalikeError, OSError: as `text.lines`.
    """
    found = enumerate(lines(path))
    while block := list(islice(found, size)):
        names, numbers, failures = [], [], []
        for number, line in block:
            try:
                if name := line.decode("utf-8"):
                    names.append(name)
                    numbers.append(number)
            except UnicodeDecodeError:
                shown = line.decode("utf-8", "backslashreplace")
                failures.append(Failure(number, shown, "id", "the id is not UTF-8"))
        yield names, np.array(numbers, np.int64), failures


def content_blocks(
    path: str, config: Config, generation: Generation, *, suspect: bool = False, size: int = BLOCK
) -> Iterator[Block]:
    """Queries that are images or vectors, for which the index need not be open.

    Several pictures of one query are asked with as their mean.

    Args:
        path: of the queries.
        config: the job.
        generation: what is served.
        suspect: whether an image among them may be what ended a process before.
        size: queries in a block at most.

    Raises:
        LookalikeError: as `image_blocks` and `vector_blocks`, or if the encoder is not that of the index.
    """
    metric, kind = generation.metric, kind_of(path)
    if kind == "table":
        return table_blocks(query_table(path), config, generation, "mean", suspect=suspect, size=size)
    if kind == "vectors":
        return vector_blocks(table_files(path), generation.dim, metric, generation.encoder, size)
    open_encoder = functools.partial(matching_encoder, config, generation)
    return image_blocks(path, config.corpus, metric, open_encoder, suspect=suspect, size=size)


def table_blocks(
    table: QueryTable,
    config: Config,
    generation: Generation,
    combine: Combine,
    *,
    suspect: bool = False,
    size: int = BLOCK,
) -> Iterator[Block]:
    """Queries of a table that ask with pictures, vectors or words, for which the index need not be open.

    Args:
        table: to read.
        config, generation: the job, and what is served.
        combine: how several rows are one query.
        suspect: whether a picture among them may be what ended a process before.
        size: rows in a block at most, but for a query that has more.

    Raises:
        LookalikeError: as `read_table`, or if the encoder is not that of the index, or reads no words.
    """
    open_encoder = functools.partial(matching_encoder, config, generation) if table.has_pictures else None
    size = min(size, IMAGE_BLOCK) if table.has_pictures else size
    words = open_words(table, config, generation)
    rows = read_table(table, size, generation.dim, generation.encoder, words)
    options = query_options(config.corpus)
    return asked_rows(rows, open_encoder, options, combine, generation.metric, suspect=suspect)


def item_blocks(
    table: QueryTable, shards: Sequence[IndexShard], generation: Generation, how: LookUpIds
) -> Iterator[Block]:
    """Queries of a table that ask with indexed items. Raises as `read_table`."""
    for rows in read_table(table, how.at_once, generation.dim, generation.encoder):
        found = how.in_open(shards, rows.column(2).combine_chunks())
        yield from parted(looked_up_items(rows, found, how.combine, how.metric), how.size)


def check_encoder(config: Config, generation: Generation) -> None:
    """Raises LookalikeError if the encoder of a job is not that of the index."""
    manifest = read_manifest(config.encoder)
    found = fingerprint_of(manifest)
    if found != generation.encoder:
        raise LookalikeError(
            f"The encoder {config.encoder} ({manifest['name']}, {found[:16]}) is not the one the index "
            f"was made with ({generation.encoder_name}, {generation.encoder[:16]}): vectors of two encoders "
            f"cannot be compared"
        )


def open_words(table: QueryTable, config: Config, generation: Generation) -> TextEncoder | None:
    """The text encoder of a job; None for a table without words. Raises LookalikeError if the job has none."""
    if not table.has_text:
        return None
    from lookalike.model.text.encoder import TextEncoder

    check_encoder(config, generation)
    return TextEncoder.load(config.encoder, generation.encoder)


def words_fingerprint(config: Config, path: str) -> str | None:
    """The fingerprint of the text encoder, where queries are words. Raises LookalikeError if the job has none."""
    if kind_of(path) != "table" or not query_table(path).has_text:
        return None
    from lookalike.model.text.bundle import read_text_manifest

    return read_text_manifest(config.encoder).fingerprint


def matching_encoder(config: Config, generation: Generation) -> Encoder:
    """The encoder of a job, opened. Raises LookalikeError as `check_encoder`, or if it is no whole bundle."""
    from lookalike.model.encoder.bundle import Encoder

    check_encoder(config, generation)
    return Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)
