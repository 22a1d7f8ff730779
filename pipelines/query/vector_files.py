"""Parquet files of query vectors, which somebody sends: read within bounds, each row a query or a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..index.post_processing import BLOCK
from ..sources.parquet_pages import open_parquet, pages_of, row_groups_of
from .blocks import Block, Failure, joined, unsearchable

_MOST_PAGE, _MOST_BESIDE, _MOST_ID = 256 << 20, 64 << 20, 16 << 10
"""Of a Parquet file that somebody sends: bytes of a page unpacked, numbers that are no vectors of the right length in a
row group, and bytes of an id. A few kilobytes may unpack to gigabytes of the same number or text."""
_READ_AT_ONCE, _ROWS = 1 << 20, 4096
"""Bytes, and rows, that are read at once."""
VECTOR_COLUMNS = ("embedding", "vector", "query")
ID_COLUMNS = ("query_id", "item_id", "id")


def vector_column(path: str) -> str | None:
    """The column of vectors in a Parquet file; None if there is none. Raises LookalikeError, OSError."""
    with open_parquet(path) as file:
        return vector_column_of(pq.read_schema(file))


def vector_column_of(schema: pa.Schema) -> str | None:
    """The column of vectors, as `VECTOR_COLUMNS` name it, or else the first list of floats."""
    vectors = [field.name for field in schema if _is_vector(field.type)]
    return next((name for name in VECTOR_COLUMNS if name in vectors), vectors[0] if vectors else None)


def _is_vector(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and pa.types.is_floating(kind.value_type)


def vector_blocks(
    listed: Sequence[files.FileInfo], dim: int, metric: str, fingerprint: str, size: int = BLOCK
) -> Iterator[Block]:
    """Queries from Parquet files with a column of vectors; without ids they are numbered over all files.

    Args:
        listed: the files.
        dim: length of a vector.
        metric: of the index.
        fingerprint: of its encoder.
        size: queries in a block at most.

    Raises:
        LookalikeError: if a file says that its vectors come from another encoder, or would take much more memory than
            such vectors.
    """
    before = 0
    for info in listed:
        yield from vectors_of_groups(info, None, dim, metric, fingerprint, size, before)
        before += sum(rows_in_groups(info.path))


def rows_in_groups(path: str) -> list[int]:
    """How many rows each row group of a file has. Raises LookalikeError for a file that is no whole Parquet."""
    with open_parquet(path) as file:
        metadata = pq.read_metadata(file)
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def vectors_of_groups(
    info: files.FileInfo,
    groups: Sequence[int] | None,
    dim: int,
    metric: str,
    fingerprint: str,
    size: int = BLOCK,
    before: int = 0,
) -> Iterator[Block]:
    """The same from some row groups of one file, or all; their numbers are those of the rows in the file.

    Args:
        before: rows in the files before this one.
    """
    column = vector_column(info.path)
    if column is None:
        raise LookalikeError(f"Expected a column of vectors. Received: none in {info.path}")
    with open_parquet(info.path) as file:
        present = pq.read_schema(file).names
        id_column = next((name for name in ID_COLUMNS if name in present), None)
        as_dictionary = [id_column] if id_column else None
        # Not a row group at once, nor by threads of Arrow's own: memory that was just used is used again.
        parquet = pq.ParquetFile(
            file,
            page_checksum_verification=True,
            read_dictionary=as_dictionary,
            pre_buffer=False,
            buffer_size=_READ_AT_ONCE,
        )
        check_made_by(parquet, info.path, fingerprint)
        groups = range(parquet.num_row_groups) if groups is None else groups
        columns = [column] if id_column is None else [id_column, column]
        check_pages(parquet, info, file, columns, column, dim, groups)
        start = sum(parquet.metadata.row_group(n).num_rows for n in range(min(groups, default=0)))
        batches = parquet.iter_batches(
            min(size, _ROWS), row_groups=list(groups), columns=columns, use_threads=False
        )

        def blocks() -> Iterator[Block]:
            at = start
            for batch in batches:
                numbers = range(before + at, before + at + len(batch))
                if id_column is None:
                    names, unusable = [str(number) for number in numbers], dict[int, str]()
                else:
                    names, unusable = ids_of(_short(batch[id_column], info.path), numbers)
                yield _checked(names, batch[column], dim, metric, unusable, at)
                at += len(batch)

        yield from joined(blocks(), min(size, _ROWS), max(1, size // _ROWS))


def check_made_by(parquet: pq.ParquetFile, path: str, fingerprint: str) -> None:
    """Raises LookalikeError if a file says that its vectors come from another encoder than the one of the index."""
    made_by = (parquet.metadata.metadata or {}).get(b"lookalike.encoder", b"").decode()
    if made_by and made_by != fingerprint:
        raise LookalikeError(
            f"{path} holds vectors of the encoder {made_by[:16]}, and the index those of "
            f"{fingerprint[:16]}: vectors of two encoders cannot be compared"
        )


def check_pages(
    parquet: pq.ParquetFile,
    info: files.FileInfo,
    file: BinaryIO,
    names: Collection[str],
    column: str | None,
    dim: int,
    groups: Collection[int] | None = None,
) -> dict[str, int]:
    """Looks at the pages of some columns before they are read; gives the bytes of the largest of each, unpacked.

    Args:
        parquet: opened.
        info, file: the same file.
        names: of the columns.
        column: the one with vectors, if there is one.
        dim: numbers of a vector.
        groups: the row groups that are read, or all.

    Raises:
        LookalikeError: if reading them would unpack much more than there is in them.
    """
    found = dict.fromkeys(names, 0)
    try:
        for number, group in enumerate(row_groups_of(file, info.size)):
            if groups is not None and number not in groups:
                continue
            for place, chunk in enumerate(group.chunks):
                path = parquet.schema.column(place).path
                name = next((name for name in names if path == name or path.startswith(f"{name}.")), None)
                if name is None:
                    continue
                kind = parquet.schema_arrow.field(name).type
                size = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
                if size and chunk.values != group.rows * size:
                    raise LookalikeError(
                        f"{info.path}: expected a list in every row of the column {name!r} of {kind}, as Arrow reads "
                        f"no others. Received: nulls; write it as lists of any length"
                    )
                largest = max((page.unpacked for page in pages_of(file, info.size, chunk)), default=0)
                found[name] = max(found[name], largest)
                wanted = group.rows * (dim if name == column else 1)
                if largest > _MOST_PAGE or chunk.values - wanted > _MOST_BESIDE:
                    expected = (
                        f"vectors of {dim} numbers" if name == column else "one value or a few in a row"
                    )
                    raise LookalikeError(
                        f"{info.path}: expected {expected}. Received: {chunk.values:,} values of column {path!r} in "
                        f"{group.rows:,} rows of row group {number}, {largest:,} bytes in the largest page"
                    )
    except ValueError as error:
        raise LookalikeError(f"{info.path} is not a whole Parquet file: {error}") from None
    return found


def plain_column(column: pa.Array, path: str) -> pa.Array:
    """Values without their dictionary, in which a long one takes its bytes once. Raises LookalikeError if they are."""
    if not pa.types.is_dictionary(column.type):
        return column
    if not pa.types.is_primitive(column.type.value_type):
        taken = pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0
        if taken > _MOST_PAGE:
            raise LookalikeError(
                f"{path}: expected at most {_MOST_PAGE:,} bytes of a column in {len(column):,} rows. "
                f"Received: {taken:,}"
            )
    return column.dictionary_decode()


def _short(column: pa.Array, path: str) -> pa.Array:
    """Ids without their dictionary; a long one is none."""
    if pa.types.is_dictionary(column.type) and not pa.types.is_primitive(column.type.value_type):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > _MOST_ID:
            raise LookalikeError(
                f"{path}: expected ids of at most {_MOST_ID:,} bytes. Received: one of {longest:,}"
            )
    return plain_column(column, path)


def python_values(column: pa.Array) -> list[Any]:
    """The values of a column. Raises LookalikeError for a time that Python has not."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, KeyError) as error:
        raise LookalikeError(f"Expected text or numbers. Received: {column.type}: {error}") from None


def ids_of(column: pa.Array, numbers: range) -> tuple[list[str], dict[int, str]]:
    """Ids as text, the row number in place of a null; and position -> error of those that cannot be used."""
    if pa.types.is_string(column.type):
        with contextlib.suppress(pa.ArrowInvalid):  # text in Parquet need not be UTF-8
            column.validate(full=True)
            if not column.null_count:
                return column.to_pylist(), {}
        column = column.cast(pa.binary())
    names, errors = [], {}
    for i, (value, number) in enumerate(zip(python_values(column), numbers, strict=True)):
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
    vectors = vectors_of_column(column, dim, errors)
    for i, error in unsearchable(vectors, metric).items():
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


def vectors_of_column(column: pa.Array, dim: int, errors: dict[int, str]) -> np.ndarray:
    """Vectors of shape (n, dim), zeros where there is none of `dim` numbers, which is added to `errors`."""
    if pa.types.is_fixed_size_list(column.type) and column.type.list_size == dim and not column.null_count:
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        return vectors.astype(np.float32, copy=False)
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    for i in np.flatnonzero(lengths != dim).tolist():
        found = f"expected a vector of {dim} numbers, received {lengths[i]}"
        errors.setdefault(i, "the vector is null" if lengths[i] < 0 else found)
    vectors = np.zeros((len(column), dim), np.float32)
    right = np.flatnonzero(lengths == dim)
    flat = column.take(pa.array(right)).flatten().to_numpy(zero_copy_only=False)
    vectors[right] = flat.astype(np.float32).reshape(-1, dim)
    return vectors
