"""Files of queries in: images, vectors or ids of indexed items, each as an id and a vector or a failure."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.encoder.bundle import BATCH, BATCH_BYTES, Encoder
from lookalike.model.encoder.manifest import fingerprint as fingerprint_of
from lookalike.model.encoder.manifest import read_manifest
from lookalike.model.errors import LookalikeError

from ..config.job import Config, Corpus
from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..filesystem.text import lines
from ..index.post_processing import BLOCK
from ..index.query_blocks import QueryBlock
from ..index.scores import lengths_of
from ..index.search import vectors_by_id
from ..index.shard import IndexShard
from ..sources import Shard, SourceOptions, find_shards, read_records
from ..sources.fields import escape
from ..sources.parquet_pages import pages_of, row_groups_of
from ..sources.records import Record, Reject
from ..store.generation import Generation

IMAGE_BLOCK = 512
"""The same for queries that are images: encoding takes far longer, and answers should appear while it lasts."""
_MOST_PAGE, _MOST_BESIDE, _MOST_ID = 256 << 20, 64 << 20, 16 << 10
"""Of a Parquet file that somebody sends: bytes of a page unpacked, numbers that are no vectors of the right length in a
row group, and bytes of an id. A few kilobytes may unpack to gigabytes of the same number or text."""
VECTOR_COLUMNS = ("embedding", "vector", "query")
ID_COLUMNS = ("query_id", "item_id", "id")

Kind = Literal["images", "vectors", "ids"]


class Failure(NamedTuple):
    """A query that is not answered.

    Attributes:
        number: its place in its file or shard; they sort by it.
        query_id: its id.
        stage: where it failed.
        error: why.
    """

    number: int
    query_id: str
    stage: str
    error: str


@dataclass(frozen=True)
class Block(QueryBlock):
    """Some queries, in input order: those whose vectors are finite, and the others in between.

    Attributes:
        failures: in input order.
    """

    failures: list[Failure] = field(default_factory=list)


def duplicate(number: int, query_id: str) -> Failure:
    """A query whose id another one before it has."""
    return Failure(number, query_id, "duplicate", "another query before this one has the same id")


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
        again = np.zeros(len(block.ids), bool)
        for i, query_id in enumerate(block.ids):
            again[i] = query_id in seen
            seen.add(query_id)
        if again.any():
            repeated = block.only(again)
            failures = map(duplicate, repeated.numbers.tolist(), repeated.ids)
            kept = block.only(~again)
            block = Block(kept.ids, kept.vectors, kept.numbers, sorted([*block.failures, *failures]))
        if block.ids or block.failures:
            yield block


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
    shards = find_shards(path, options)
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
    place = shard.place if place is None else place
    size = max(1, min(size, IMAGE_BLOCK) - BATCH + 1)
    failures: list[Failure] = []
    waiting: deque[list[Record]] = deque()

    def unreadable(reject: Reject) -> None:
        name = reject.item_id or f"{escape(place)}#{reject.position}"
        failures.append(Failure(reject.position, name, reject.stage, reject.error))

    def batches() -> Iterator[list[bytes]]:
        records = read_records(shard, options, unreadable)
        while chunk := _next_batch(records):
            waiting.append([replace(record, image=b"") for record in chunk])
            yield [record.image for record in chunk]

    ids: list[str] = []
    numbers: list[int] = []
    vectors = [np.empty((0, encoder.dim), np.float32)]
    for encoded in encoder.map(batches(), suspect=suspect):
        records = waiting.popleft()
        errors = {i: ("decode", error) for i, error in encoded.errors.items()}
        readable = [i for i in range(len(records)) if i not in errors]
        unsearchable = _unsearchable(encoded.vectors[readable], metric)
        errors |= {readable[n]: ("encode", error) for n, error in unsearchable.items()}
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


def _next_batch(records: Iterator[Record]) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in islice(records, BATCH):
        batch.append(record)
        size += len(record.image)
        if size > BATCH_BYTES:
            break
    return batch


def vector_blocks(path: str, dim: int, metric: str, fingerprint: str, size: int = BLOCK) -> Iterator[Block]:
    """Queries from Parquet files with a column of vectors; without an id column the row number is the id.

    Args:
        path: of them.
        dim: length of a vector.
        metric: of the index.
        fingerprint: of its encoder.
        size: queries in a block at most.

    Raises:
        LookalikeError: if a file says that its vectors come from another encoder, or would take much more memory than
            such vectors.
    """
    for file_info in files.glob(path):
        yield from vectors_of_groups(file_info, None, dim, metric, fingerprint, size)


def vectors_of_groups(
    info: files.FileInfo,
    groups: Sequence[int] | None,
    dim: int,
    metric: str,
    fingerprint: str,
    size: int = BLOCK,
) -> Iterator[Block]:
    """The same from some row groups of one file, or all; their numbers are those of the rows in the file."""
    column = _vector_column(info.path)
    if column is None:
        raise LookalikeError(f"Expected a column of vectors. Received: none in {info.path}")
    with files.open_read(info.path) as file, damage_named(info.path):
        present = pq.read_schema(file).names
        id_column = next((name for name in ID_COLUMNS if name in present), None)
        as_dictionary = [id_column] if id_column else None
        parquet = pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=as_dictionary)
        made_by = (parquet.metadata.metadata or {}).get(b"lookalike.encoder", b"").decode()
        if made_by and made_by != fingerprint:
            raise LookalikeError(
                f"{info.path} holds vectors of the encoder {made_by[:16]}, and the index those of "
                f"{fingerprint[:16]}: vectors of two encoders cannot be compared"
            )
        groups = range(parquet.num_row_groups) if groups is None else groups
        _check_sizes(parquet, cast(BinaryIO, file), info, column, dim, groups)
        columns = [column] if id_column is None else [id_column, column]
        start = sum(parquet.metadata.row_group(n).num_rows for n in range(min(groups, default=0)))
        for batch in parquet.iter_batches(batch_size=size, row_groups=list(groups), columns=columns):
            numbers = range(start, start + len(batch))
            names = [str(number) for number in numbers]
            unusable: dict[int, str] = {}
            if id_column is not None:
                names, unusable = _ids(_short(batch[id_column], info.path), numbers)
            yield _checked(names, batch[column], dim, metric, unusable, start)
            start += len(batch)


def _check_sizes(
    parquet: pq.ParquetFile,
    file: BinaryIO,
    info: files.FileInfo,
    column: str,
    dim: int,
    groups: Collection[int],
) -> None:
    """Raises LookalikeError if reading vectors of `dim` numbers would unpack much more than such vectors."""
    try:
        for number, group in enumerate(row_groups_of(file, info.size)):
            if number not in groups:
                continue
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


def _checked(
    names: list[str], column: pa.Array, dim: int, metric: str, unusable: dict[int, str], start: int
) -> Block:
    """A block of the vectors that can be searched; the others become failures that say why."""
    errors = dict(unusable)
    if pa.types.is_fixed_size_list(column.type) and column.type.list_size == dim and not column.null_count:
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        vectors = vectors.astype(np.float32, copy=False)
    else:
        vectors = _right_length(column, dim, errors)
    for i, error in _unsearchable(vectors, metric).items():
        errors.setdefault(i, error)
    numbers = np.arange(start, start + len(names))
    if not errors:
        return Block(names, vectors, numbers)
    good = [i for i in range(len(names)) if i not in errors]
    failures = [
        Failure(start + i, names[i], "id" if i in unusable else "vector", error)
        for i, error in sorted(errors.items())
    ]
    return Block([names[i] for i in good], vectors[good], numbers[good], failures)


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


def id_blocks(path: str, shards: Sequence[IndexShard], size: int = BLOCK) -> Iterator[Block]:
    """Queries from a text file of ids of indexed items; see `text_ids`."""
    for names, numbers, failures in text_ids(path, size):
        yield looked_up(names, numbers, failures, vectors_by_id(shards, pa.array(names, pa.string())))


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


def looked_up(
    names: list[str], numbers: np.ndarray, failures: Sequence[Failure], vectors: np.ndarray
) -> Block:
    """A block of the ids that have vectors; NaN is what an unknown one has in `vectors`, float32 (ids, dim)."""
    found = np.isfinite(vectors).all(axis=1)
    missing = [
        Failure(int(numbers[i]), names[i], "lookup", "no indexed item has this id")
        for i in np.flatnonzero(~found)
    ]
    kept = QueryBlock(names, vectors, numbers).only(found)
    return Block(kept.ids, kept.vectors, kept.numbers, sorted([*failures, *missing]))


def content_blocks(
    path: str, config: Config, generation: Generation, *, suspect: bool = False, size: int = BLOCK
) -> Iterator[Block]:
    """Queries that are images or vectors, for which the index need not be open.

    Args:
        path: of the queries.
        config: the job.
        generation: what is served.
        suspect: whether an image among them may be what ended a process before.
        size: queries in a block at most.

    Raises:
        LookalikeError: as `image_blocks` and `vector_blocks`, or if the encoder is not that of the index.
    """
    metric = generation.metric
    if kind_of(path) == "vectors":
        return vector_blocks(path, generation.dim, metric, generation.encoder, size)
    open_encoder = functools.partial(_matching_encoder, config, generation)
    return image_blocks(path, config.corpus, metric, open_encoder, suspect=suspect, size=size)


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


def _matching_encoder(config: Config, generation: Generation) -> Encoder:
    check_encoder(config, generation)
    return Encoder.load(config.encoder, max_pixels=config.corpus.max_pixels)
