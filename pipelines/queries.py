"""Files of queries in: images, vectors or ids of indexed items, each as an id and a vector or a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import LookalikeError
from pipelines import files
from pipelines.config import Corpus
from pipelines.records import Record, Reject
from pipelines.sources import find_shards, read_shard

if TYPE_CHECKING:
    from model.encoder import Encoder
    from pipelines.index_shard import IndexShard

BLOCK = 8192
"""Queries that are searched at once; 8 MiB of 256-dimensional vectors."""
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
    with files.open_read(path) as file:
        try:
            schema = pq.read_schema(file)
        except pa.ArrowInvalid as error:
            raise LookalikeError(f"{path} is not a Parquet file: {_first_line(error)}") from None
    vectors = [f.name for f in schema if _is_vector(f.type)]
    return next((name for name in VECTOR_COLUMNS if name in vectors), vectors[0] if vectors else None)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _is_vector(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and pa.types.is_floating(kind.value_type)


def unique(blocks: Iterator[Block]) -> Iterator[Block]:
    """The same blocks with every query whose id came before turned into a failure."""
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
        yield replace(block, failures=failures)


def image_blocks(path: str, corpus: Corpus, open_encoder: Callable[[], Encoder]) -> Iterator[Block]:
    """Queries from image shards or a folder of images; read as the corpus is, its metadata left aside.

    Raises:
        LookalikeError: if nothing matches.
    """
    options = replace(corpus.source_options(), format=None, metadata={})
    if corpus.item_id.startswith("field:"):
        options = replace(options, item_id="key")
    shards = find_shards(path, options)
    encoder = open_encoder()

    for shard in shards:
        entries = read_shard(shard, options)
        while block := list(islice(entries, BLOCK)):
            failures = [_read_failure(shard.name, e) for e in block if isinstance(e, Reject)]
            records = [e for e in block if isinstance(e, Record)]
            vectors, errors = encoder.encode([record.image for record in records])
            failures += [(records[i].item_id, "decode", error) for i, error in errors.items()]
            good = [i for i in range(len(records)) if i not in errors]
            yield Block([records[i].item_id for i in good], vectors[good], failures)


def _read_failure(shard: str, reject: Reject) -> tuple[str, str, str]:
    return (reject.item_id or f"{shard}#{reject.position}", reject.stage, reject.error)


def vector_blocks(path: str, dim: int, metric: str, fingerprint: str) -> Iterator[Block]:
    """Queries from a Parquet file with a column of vectors; without an id column the row number is the id.

    Raises:
        LookalikeError: if the file says that its vectors come from another encoder.
    """
    for file_info in files.glob(path):
        column = _vector_column(file_info.path)
        with files.open_read(file_info.path) as file:
            parquet = pq.ParquetFile(file)
            made_by = (parquet.metadata.metadata or {}).get(b"lookalike.encoder", b"").decode()
            if made_by and made_by != fingerprint:
                raise LookalikeError(
                    f"{file_info.path} holds vectors of the encoder {made_by[:16]}, and the index those of "
                    f"{fingerprint[:16]}: vectors of two encoders cannot be compared"
                )
            id_column = next((name for name in ID_COLUMNS if name in parquet.schema_arrow.names), None)
            columns = [column] if id_column is None else [id_column, column]
            start = 0
            for batch in parquet.iter_batches(batch_size=BLOCK, columns=columns):
                numbers = range(start, start + len(batch))
                ids = [None] * len(batch) if id_column is None else batch[id_column].to_pylist()
                names = [str(number if i is None else i) for i, number in zip(ids, numbers, strict=True)]
                start += len(batch)
                if id_column is None:
                    yield _checked(names, batch[column], dim, metric)
                else:
                    nulls = [i for i, value in enumerate(ids) if value is None]
                    block = _checked(names, batch[column], dim, metric, dict.fromkeys(nulls, "the id is null"))
                    yield block


def _checked(
    names: list[str], column: pa.Array, dim: int, metric: str, errors: dict[int, str] | None = None
) -> Block:
    """A block of the vectors that can be searched; the others become failures that say why."""
    errors = dict(errors or {})
    lengths = column.value_lengths().to_pylist() if not pa.types.is_fixed_size_list(column.type) else None
    width = None if lengths is not None else column.type.list_size
    null = column.is_null().to_numpy(zero_copy_only=False)
    vectors = np.zeros((len(names), dim), np.float32)
    right = []
    for i in range(len(names)):
        found = width if lengths is None else lengths[i]
        if null[i]:
            errors.setdefault(i, "the vector is null")
        elif found != dim:
            errors.setdefault(i, f"expected a vector of {dim} numbers, received {found}")
        else:
            right.append(i)
    if right:
        flat = column.take(pa.array(right)).flatten()
        vectors[right] = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, dim)
    finite = np.isfinite(vectors).all(axis=1)
    zero = ~vectors.any(axis=1)
    for i in right:
        if not finite[i]:
            errors.setdefault(i, "the vector holds NaN or infinity")
        elif metric == "cosine" and zero[i]:
            errors.setdefault(i, "a vector of zeros has no direction")
    good = [i for i in range(len(names)) if i not in errors]
    failures = [(names[i], "vector", error) for i, error in sorted(errors.items())]
    return Block([names[i] for i in good], vectors[good], failures)


def id_blocks(path: str, shards: Sequence[IndexShard]) -> Iterator[Block]:
    """Queries from a text file with the id of an indexed item on each line; empty lines are skipped.

    Raises:
        OSError: if the file cannot be read.
    """
    with files.open_read(path) as file:
        while lines := list(islice(file, BLOCK)):
            names, failures = [], []
            for line in lines:
                text = line.rstrip(b"\r\n")
                try:
                    if name := text.decode("utf-8"):
                        names.append(name)
                except UnicodeDecodeError:
                    failures.append((text.decode("utf-8", "backslashreplace"), "id", "the id is not UTF-8"))
            yield _looked_up(names, failures, shards)


def _looked_up(
    names: list[str], failures: list[tuple[str, str, str]], shards: Sequence[IndexShard]
) -> Block:
    dim = shards[0].manifest.dim
    vectors = np.zeros((len(names), dim), np.float32)
    found = np.zeros(len(names), bool)
    for shard in shards:
        rows = shard.rows_of(pa.array(names, pa.string()))
        here = np.flatnonzero(rows >= 0)
        vectors[here] = shard.searcher.vectors[rows[here]]
        found[here] = True
    missing = [(names[i], "lookup", "no indexed item has this id") for i in np.flatnonzero(~found)]
    kept = np.flatnonzero(found)
    return Block([names[i] for i in kept], vectors[kept], failures + missing)
