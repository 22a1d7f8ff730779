"""Files of queries in: images, vectors or ids of indexed items, each as an id and a vector or a failure."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES, Encoder
from lookalike.model.errors import LookalikeError

from ..config.job import Config, Corpus
from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..filesystem.text import lines
from ..index.scores import lengths_of
from ..index.search import vectors_by_id
from ..index.shard import IndexShard
from ..sources import Shard, SourceOptions, find_shards, read_records
from ..sources.fields import escape
from ..sources.parquet_pages import pages_of, row_groups_of
from ..sources.records import Record, Reject
from ..store.generation import Generation

BLOCK = 16384
"""Queries that are searched at once; 16 MiB of 256-dimensional vectors."""
IMAGE_BLOCK = 512
"""The same for queries that are images: encoding takes far longer, and answers should appear while it lasts."""
_MOST_PAGE, _MOST_BESIDE, _MOST_ID = 256 << 20, 64 << 20, 16 << 10
"""Of a Parquet file that somebody sends: bytes of a page unpacked, numbers that are no vectors of the right length in a
row group, and bytes of an id. A few kilobytes may unpack to gigabytes of the same number or text."""
VECTOR_COLUMNS = ("embedding", "vector", "query")
ID_COLUMNS = ("query_id", "item_id", "id")

Kind = Literal["images", "vectors", "ids"]


@dataclass(frozen=True)
class Block:
    """Some queries, in input order.

    Attributes:
        ids: query ids of the rows of `vectors`, unique over all blocks.
        vectors: array of shape (n, dim), float32, finite.
        failures: (query_id, stage, error) of the queries in between that have no vector.
    """

    ids: list[str]
    vectors: np.ndarray
    failures: list[tuple[str, str, str]]


def kind_of(path: str) -> Kind:
    """What a path of queries holds: a `.txt` file ids, Parquet with a vector column vectors, all else images.

    Raises:
        LookalikeError: if the path does not exist, or Parquet cannot be read.
    """
    if path.endswith(".txt"):
        return "ids"
    if path.endswith(".parquet") and not files.is_folder(path):
        return "images" if _vector_column(files.glob(path)[0].path) is None else "vectors"
    return "images"


def _vector_column(path: str) -> str | None:
    with files.open_read(path) as file, damage_named(path):
        vectors = [f.name for f in pq.read_schema(file) if _is_vector(f.type)]
    return next((name for name in VECTOR_COLUMNS if name in vectors), vectors[0] if vectors else None)


def _is_vector(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and pa.types.is_floating(kind.value_type)


def unique(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same blocks, but empty ones, with every query whose id came before turned into a failure."""
    seen: set[str] = set()
    for block in blocks:
        kept = []
        failures = list(block.failures)
        for i, query_id in enumerate(block.ids):
            if query_id in seen:
                failures.append((query_id, "duplicate", "another query before this one has the same id"))
            else:
                seen.add(query_id)
                kept.append(i)
        if len(kept) < len(block.ids):
            block = replace(block, ids=[block.ids[i] for i in kept], vectors=block.vectors[kept])
        if kept or failures:
            yield replace(block, failures=failures)


def query_options(corpus: Corpus, metadata: Mapping[str, str] | None = None) -> SourceOptions:
    """How image shards of queries are read: as the corpus is, but in a format and with an id of their own.

    Args:
        corpus: how the corpus is read. An `item_id` that is one of its fields is left aside, as queries need have none.
        metadata: fields that are wanted, name -> type.
    """
    options = replace(corpus.source_options(), format=None, metadata=metadata or {})
    return replace(options, item_id="key") if options.id_from_field else options


def image_blocks(
    path: str, corpus: Corpus, metric: str, open_encoder: Callable[[], Encoder], *, suspect: bool = False
) -> Iterator[Block]:
    """Queries from image shards or a folder of images; read as the corpus is, its metadata left aside.

    Args:
        path: of them.
        corpus: how the corpus is read.
        metric: of the index.
        open_encoder: opens the encoder.
        suspect: whether one of the images may be what ended a process before.

    Raises:
        LookalikeError: if nothing matches.
    """
    options = query_options(corpus)
    shards = find_shards(path, options)
    encoder = open_encoder()
    for shard in shards:
        yield from _encoded(shard, options, metric, encoder, suspect)


def _encoded(
    shard: Shard, options: SourceOptions, metric: str, encoder: Encoder, suspect: bool
) -> Iterator[Block]:
    """The queries of one shard. Of its images only those that wait for a thread are in memory."""
    failures: list[tuple[str, str, str]] = []
    waiting: deque[list[str]] = deque()

    def unreadable(reject: Reject) -> None:
        name = reject.item_id or f"{escape(shard.place)}#{reject.position}"
        failures.append((name, reject.stage, reject.error))

    def batches() -> Iterator[list[bytes]]:
        records = read_records(shard, options, unreadable)
        while chunk := _next_batch(records):
            waiting.append([record.item_id for record in chunk])
            yield [record.image for record in chunk]

    ids: list[str] = []
    vectors: list[np.ndarray] = []
    for encoded in encoder.map(batches(), suspect=suspect):
        names = waiting.popleft()
        failures += [(names[i], "decode", error) for i, error in encoded.errors.items()]
        readable = [i for i in range(len(names)) if i not in encoded.errors]
        unsearchable = _unsearchable(encoded.vectors[readable], metric)
        failures += [(names[readable[i]], "encode", error) for i, error in unsearchable.items()]
        good = [i for n, i in enumerate(readable) if n not in unsearchable]
        ids += [names[i] for i in good]
        vectors.append(encoded.vectors[good])
        if len(ids) + len(failures) >= IMAGE_BLOCK:
            yield Block(ids, np.concatenate(vectors), failures.copy())
            ids, vectors = [], []
            failures.clear()
    if ids or failures:
        nothing = np.empty((0, encoder.dim), np.float32)
        yield Block(ids, np.concatenate(vectors or [nothing]), failures)


def _next_batch(records: Iterator[Record]) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in islice(records, BATCH):
        batch.append(record)
        size += len(record.image)
        if size > BATCH_BYTES:
            break
    return batch


def vector_blocks(path: str, dim: int, metric: str, fingerprint: str) -> Iterator[Block]:
    """Queries from a Parquet file with a column of vectors; without an id column the row number is the id.

    Raises:
        LookalikeError: if the file says that its vectors come from another encoder, or would take much more memory than
            such vectors.
    """
    for file_info in files.glob(path):
        column = _vector_column(file_info.path)
        if column is None:
            raise LookalikeError(f"Expected a column of vectors. Received: none in {file_info.path}")
        with files.open_read(file_info.path) as file, damage_named(file_info.path):
            present = pq.read_schema(file).names
            id_column = next((name for name in ID_COLUMNS if name in present), None)
            as_dictionary = [id_column] if id_column else None
            parquet = pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=as_dictionary)
            made_by = (parquet.metadata.metadata or {}).get(b"lookalike.encoder", b"").decode()
            if made_by and made_by != fingerprint:
                raise LookalikeError(
                    f"{file_info.path} holds vectors of the encoder {made_by[:16]}, and the index those of "
                    f"{fingerprint[:16]}: vectors of two encoders cannot be compared"
                )
            _check_sizes(parquet, cast(BinaryIO, file), file_info, column, dim)
            columns = [column] if id_column is None else [id_column, column]
            start = 0
            for batch in parquet.iter_batches(batch_size=BLOCK, columns=columns):
                numbers = range(start, start + len(batch))
                names = [str(number) for number in numbers]
                unusable: dict[int, str] = {}
                if id_column is not None:
                    names, unusable = _ids(_short(batch[id_column], file_info.path), numbers)
                start += len(batch)
                yield _checked(names, batch[column], dim, metric, unusable)


def _check_sizes(
    parquet: pq.ParquetFile, file: BinaryIO, info: files.FileInfo, column: str, dim: int
) -> None:
    """Raises LookalikeError if reading vectors of `dim` numbers would unpack much more than such vectors."""
    try:
        for number, group in enumerate(row_groups_of(file, info.size)):
            for place, chunk in enumerate(group.chunks):
                path = parquet.schema.column(place).path
                is_vector = path.startswith(f"{column}.")
                if not is_vector and path not in ID_COLUMNS:
                    continue
                largest = max((page.unpacked for page in pages_of(file, info.size, chunk)), default=0)
                if largest > _MOST_PAGE or (is_vector and chunk.values - group.rows * dim > _MOST_BESIDE):
                    raise LookalikeError(
                        f"{info.path}: expected vectors of {dim} numbers. Received: {chunk.values:,} values of column "
                        f"{path!r} in {group.rows:,} rows of row group {number}, {largest:,} bytes in the largest page"
                    )
    except ValueError as error:
        raise LookalikeError(f"{info.path} is not a whole Parquet file: {error}") from None


def _short(column: pa.Array, path: str) -> pa.Array:
    """Ids without their dictionary, in which a long one takes its bytes once."""
    if not pa.types.is_dictionary(column.type):
        return column
    longest = 0
    if not pa.types.is_primitive(column.type.value_type):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if longest > _MOST_ID:
        raise LookalikeError(
            f"{path}: expected ids of at most {_MOST_ID:,} bytes. Received: one of {longest:,}"
        )
    return column.dictionary_decode()


def _ids(column: pa.Array, numbers: range) -> tuple[list[str], dict[int, str]]:
    """Ids as text, the row number in place of a null; and position -> error of those that cannot be used."""
    if pa.types.is_string(column.type):
        with contextlib.suppress(pa.ArrowInvalid):  # text in Parquet need not be UTF-8
            column.validate(full=True)
            if not column.null_count:
                return column.to_pylist(), {}
        column = column.cast(pa.binary())
    names, errors = [], {}
    for i, (value, number) in enumerate(zip(column.to_pylist(), numbers, strict=True)):
        if value is None:
            errors[i], value = "the id is null", number
        elif isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError:
                errors[i], value = "the id is not UTF-8", value.decode("utf-8", "backslashreplace")
        names.append(str(value))
    return names, errors


def _checked(names: list[str], column: pa.Array, dim: int, metric: str, unusable: dict[int, str]) -> Block:
    """A block of the vectors that can be searched; the others become failures that say why."""
    errors = dict(unusable)
    if pa.types.is_fixed_size_list(column.type) and column.type.list_size == dim and not column.null_count:
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        vectors = vectors.astype(np.float32, copy=False)
    else:
        vectors = _right_length(column, dim, errors)
    for i, error in _unsearchable(vectors, metric).items():
        errors.setdefault(i, error)
    if not errors:
        return Block(names, vectors, [])
    good = [i for i in range(len(names)) if i not in errors]
    failures = [(names[i], "id" if i in unusable else "vector", error) for i, error in sorted(errors.items())]
    return Block([names[i] for i in good], vectors[good], failures)


def _right_length(column: pa.Array, dim: int, errors: dict[int, str]) -> np.ndarray:
    """Vectors of shape (n, dim), zeros where there is none of `dim` numbers, which is added to `errors`."""
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    for i in np.flatnonzero(lengths != dim).tolist():
        found = f"expected a vector of {dim} numbers, received {lengths[i]}"
        errors.setdefault(i, "the vector is null" if lengths[i] < 0 else found)
    vectors = np.zeros((len(column), dim), np.float32)
    right = np.flatnonzero(lengths == dim)
    flat = column.take(pa.array(right)).flatten().to_numpy(zero_copy_only=False)
    vectors[right] = flat.astype(np.float32).reshape(-1, dim)
    return vectors


def _unsearchable(vectors: np.ndarray, metric: str) -> dict[int, str]:
    """Row -> why the search would refuse it (see `scores.checked`), which must not fail the other queries."""
    lengths = lengths_of(vectors)
    errors = dict.fromkeys(
        np.flatnonzero(~np.isfinite(lengths)).tolist(),
        "the vector holds NaN or infinity, or numbers too large for float32",
    )
    if metric == "cosine":
        zeros = np.flatnonzero(lengths == 0).tolist()
        errors |= dict.fromkeys(zeros, "a vector of zeros has no direction")
    return errors


def id_blocks(path: str, shards: Sequence[IndexShard]) -> Iterator[Block]:
    """Queries from a text file of ids of indexed items; see `text_ids`."""
    for names, failures in text_ids(path):
        yield _looked_up(names, failures, shards)


def text_ids(path: str) -> Iterator[tuple[list[str], list[tuple[str, str, str]]]]:
    """Ids from a text file with one on each line, empty lines skipped; and failures, as `Block` has them.

    Raises:
        LookalikeError, OSError: as `text.lines`.
    """
    found = lines(path)
    while block := list(islice(found, BLOCK)):
        names, failures = [], []
        for line in block:
            try:
                if name := line.decode("utf-8"):
                    names.append(name)
            except UnicodeDecodeError:
                failures.append((line.decode("utf-8", "backslashreplace"), "id", "the id is not UTF-8"))
        yield names, failures


def _looked_up(names: list[str], failures: list[tuple[str, str, str]], shards: Sequence[IndexShard]) -> Block:
    vectors = vectors_by_id(shards, pa.array(names, pa.string()))
    found = np.isfinite(vectors).all(axis=1)
    missing = [(names[i], "lookup", "no indexed item has this id") for i in np.flatnonzero(~found)]
    kept = np.flatnonzero(found)
    return Block([names[i] for i in kept], vectors[kept], failures + missing)


def content_blocks(
    path: str, config: Config, generation: Generation, *, suspect: bool = False
) -> Iterator[Block]:
    """Queries that are images or vectors, for which the index need not be open.

    Args:
        path: of the queries.
        config: the job.
        generation: what is served.
        suspect: whether an image among them may be what ended a process before.

    Raises:
        LookalikeError: as `image_blocks` and `vector_blocks`, or if the encoder is not that of the index.
    """
    metric = generation.metric
    if kind_of(path) == "vectors":
        return vector_blocks(path, generation.dim, metric, generation.encoder)
    open_encoder = functools.partial(_matching_encoder, config, generation)
    return image_blocks(path, config.corpus, metric, open_encoder, suspect=suspect)


def _matching_encoder(config: Config, generation: Generation) -> Encoder:
    encoder = Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)
    if encoder.fingerprint != generation.encoder:
        raise LookalikeError(
            f"The encoder {config.encoder} ({encoder.name}, {encoder.fingerprint[:16]}) is not the one the index "
            f"was made with ({generation.encoder_name}, {generation.encoder[:16]}): vectors of two encoders "
            f"cannot be compared"
        )
    return encoder
