"""Parquet shards: a column of encoded images, or of `{bytes, path}` structs, beside a column of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .base import MOST_METADATA, Shard, SourceOptions
from .fields import Stored, build, damage
from .opening import open_listed
from .parquet_pages import DICTIONARY, PLAIN, Page, RowGroup, pages_of, row_groups_of
from .parquet_values import RefusedError, check_readable, values
from .records import Record, Reject
from .types import is_list

IMAGE_COLUMNS = (
    "image",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "image_bytes",
    "bytes",
    "image/encoded",
    "img",
    "content",
    "data",
)
ID_COLUMNS = (
    "item_id",
    "id",
    "key",
    "__key__",
    "image_id",
    "image/filename",
    "path",
    "image_path",
    "file_name",
    "filename",
)
_BATCH_ROWS = 16
_MOST_PAGE, _MOST_BESIDE = 64 << 20, 64 << 20
"""Bytes of pages, unpacked, that pyarrow reads, of images and of all else: it takes about four times as much."""
_LISTED = 8
"""Bytes of a value in a list, at least."""
_BUFFER_BYTES = 1 << 20


class _Source:
    """A file for pyarrow, which reports damaged content as OSError too: keeps what the file system raised."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None
        self.closed = False

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            self.error = error
            raise

    def read(self, size: int = -1) -> bytes:
        return self._try(lambda: self._file.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class _UnreadableError(Exception):
    """A shard that lacks what the options ask for."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns hold what. `image_path`: the id is the path inside the image struct."""

    image: str
    key: str | None
    fields: tuple[str, ...]
    image_path: bool = False

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([self.image, *([self.key] if self.key else []), *self.fields]))


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The rows of one file, in order; see `lookalike.sources.read_shard`.

    Of a row group whose pages are too large to be unpacked the images are read one at a time (see `parquet_values`);
    where that cannot be done, its rows are rejected.
    """
    with open_listed(shard.files[0]) as file:
        source = _Source(file)
        position = 0
        try:
            groups = row_groups_of(cast(BinaryIO, source), shard.size)
            parquet = pq.ParquetFile(
                pa.PythonFile(source, mode="r"),
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
            columns = _choose(parquet.schema_arrow, options)
            count = max(parquet.metadata.num_rows, sum(group.rows for group in groups))
            if count > shard.size:
                raise _UnreadableError(f"{count:,} rows in {shard.size:,} bytes are no images")
            for number, group in enumerate(groups):
                for item in _row_group(shard, options, columns, parquet, source, number, group, position):
                    yield item
                    position += 1
            if position != parquet.metadata.num_rows:
                raise _UnreadableError(f"the footer promises {parquet.metadata.num_rows} rows")
        except _UnreadableError as error:
            yield Reject(None, position, "read", str(error), ends_shard=True)
        except (pa.ArrowException, OSError, ValueError, LookupError) as error:
            if source.error is not None:
                raise source.error from None
            reason = " ".join(str(error).split())
            yield damage(shard, position, file.tell(), f"not a whole Parquet file ({reason}), read")


def _row_group(
    shard: Shard,
    options: SourceOptions,
    columns: _Columns,
    parquet: pq.ParquetFile,
    source: _Source,
    group: int,
    stored: RowGroup,
    position: int,
) -> Iterator[Record | Reject]:
    try:
        plan = _plan(shard, options, columns, parquet, source, stored)
    except RefusedError as error:
        for number in range(stored.rows):
            yield Reject(None, position + number, "read", f"row group {group} is not read: {error}")
        return
    if not plan.columns and plan.images is not None:
        for image in islice(plan.images, stored.rows):
            yield _record(shard, options, columns, position, image, None, {})
            position += 1
        return
    for batch in parquet.iter_batches(plan.rows, row_groups=[group], columns=plan.columns, use_threads=False):
        images = plan.images or _images(batch.column(columns.image), options.max_bytes)
        for item in _rows(shard, options, columns, batch, images, position):
            yield item
            position += 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a row group is read: so many rows at a time of these columns; `images` where pyarrow does not read them."""

    rows: int
    columns: list[str]
    images: Iterator[bytes | int | None] | None


def _plan(
    shard: Shard,
    options: SourceOptions,
    columns: _Columns,
    parquet: pq.ParquetFile,
    source: _Source,
    stored: RowGroup,
) -> _Plan:
    """Raises RefusedError if a row group cannot be read in small memory."""
    file = cast(BinaryIO, source)
    is_struct = pa.types.is_struct(parquet.schema_arrow.field(columns.image).type)
    image_path = f"{columns.image}.bytes" if is_struct else columns.image
    others = [name for name in columns.names if name != columns.image]
    others += [f"{columns.image}.path"] if columns.image_path else []
    image_pages: list[Page] = []
    codec, level = "", 0
    beside = 0
    for number, chunk in enumerate(stored.chunks):
        column = parquet.schema.column(number)
        path = column.path
        if path == image_path:
            image_pages = list(pages_of(file, shard.size, chunk))
            codec, level = chunk.codec, column.max_definition_level
        elif any(path == name or path.startswith(f"{name}.") for name in others):
            # Of a list, one row may have all values of a page, and nulls take no bytes there.
            least = _LISTED if column.max_repetition_level else 0
            taken = (max(page.unpacked, least * page.values) for page in pages_of(file, shard.size, chunk))
            beside += max(taken, default=0)
    if beside > _MOST_BESIDE:
        raise RefusedError(f"pages of {beside:,} bytes beside the image, more than {_MOST_BESIDE:,}")
    images = None
    largest = max((page.unpacked for page in image_pages), default=0)
    is_plain = all(page.kind != DICTIONARY and page.encoding == PLAIN for page in image_pages)
    if largest > (_MOST_PAGE if is_plain else MOST_METADATA):
        check_readable(image_pages, codec, options.max_bytes)
        images = values(file, image_pages, codec, level, options.max_bytes)
        largest = 0
    rows = max(1, min(_BATCH_ROWS, 2 * _MOST_PAGE // max(1, largest + beside)))
    return _Plan(rows, columns.names if images is None else others, images)


def _choose(schema: pa.Schema, options: SourceOptions) -> _Columns:
    found = ", ".join(f"{f.name} ({f.type})" for f in schema)
    image = _named("image", options.image_field, IMAGE_COLUMNS, schema, _is_image, found)
    for name in options.fields:
        key = f"corpus.metadata.{name}" if name in options.metadata else "corpus.item_id"
        if schema.names.count(name) > 1:
            raise _UnreadableError(f"{key}: expected one column {name!r}. Columns found: {found}")
        if name in schema.names and not _holds(schema.field(name).type, options.metadata.get(name, "")):
            wanted = "lists or text" if is_list(options.metadata.get(name, "")) else "single values"
            raise _UnreadableError(f"{key}: expected a column of {wanted}. Columns found: {found}")
    fields = tuple(name for name in options.fields if name in schema.names)
    if options.id_from_field:
        if options.id_from_field not in fields:
            raise _UnreadableError(
                f"no column {options.id_from_field!r}; set corpus.item_id. Columns found: {found}"
            )
        return _Columns(image, None, fields)
    if options.item_id == "position":
        return _Columns(image, None, fields)
    has_path = pa.types.is_struct(schema.field(image).type) and "path" in schema.field(image).type.names
    if options.id_field is None and has_path and not any(_fits(schema, n, _is_id) for n in ID_COLUMNS):
        return _Columns(image, None, fields, image_path=True)
    return _Columns(image, _named("id", options.id_field, ID_COLUMNS, schema, _is_id, found), fields)


def _named(
    what: str,
    configured: str | None,
    usual: tuple[str, ...],
    schema: pa.Schema,
    fits: Callable[[pa.DataType], bool],
    found: str,
) -> str:
    for name in (configured,) if configured else usual:
        if _fits(schema, name, fits):
            return name
    sought = repr(configured) if configured else f"named {', '.join(usual)}"
    hint = " or corpus.item_id: position" if what == "id" else ""
    raise _UnreadableError(
        f"no {what} column {sought}; set corpus.{what}_field{hint}. Columns found: {found}"
    )


def _fits(schema: pa.Schema, name: str, fits: Callable[[pa.DataType], bool]) -> bool:
    return schema.names.count(name) == 1 and fits(schema.field(name).type)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.names.count("bytes") == 1 and _is_image(kind.field("bytes").type)
    return _is_bytes(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _is_id(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return _is_text(kind) or _is_bytes(kind) or pa.types.is_integer(kind)


def _holds(kind: pa.DataType, wanted: str) -> bool:
    """Whether a column may hold values of a type of metadata, or an id."""
    return _is_scalar(kind.value_type if _is_list(kind) and is_list(wanted) else kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_scalar(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        _is_id(kind)
        or (pa.types.is_primitive(kind) and not pa.types.is_duration(kind))
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _is_told_as_text(kind: pa.DataType) -> bool:
    return pa.types.is_temporal(kind) or pa.types.is_decimal(kind)


def _images(column: pa.Array, max_bytes: int) -> Iterator[bytes | int | None]:
    """Each image, how many bytes it is if that is above the limit, or None."""
    if pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    if pa.types.is_dictionary(column.type):
        # Decoded, an image that is there many times would take its bytes as often.
        for place in column.indices.to_pylist():
            yield None if place is None else next(_images_of(column.dictionary.slice(place, 1), max_bytes))
    else:
        yield from _images_of(column, max_bytes)


def _images_of(column: pa.Array, max_bytes: int) -> Iterator[bytes | int | None]:
    if pa.types.is_binary_view(column.type):
        column = column.cast(pa.large_binary())
    sizes = pc.binary_length(column).to_pylist()
    for row, size in enumerate(sizes):
        yield size if size is not None and size > max_bytes else column[row].as_py()


def _rows(
    shard: Shard,
    options: SourceOptions,
    columns: _Columns,
    batch: pa.RecordBatch,
    images: Iterator[bytes | int | None],
    start: int,
) -> Iterator[Record | Reject]:
    if columns.image_path:
        keys = _values(pc.struct_field(batch.column(columns.image), "path"))
    else:
        keys = _values(batch.column(columns.key)) if columns.key else [None] * batch.num_rows
    fields = {name: _values(batch.column(name), options.metadata.get(name)) for name in columns.fields}
    for row, key in enumerate(keys):
        of_row = {name: found[row] for name, found in fields.items()}
        try:
            image = next(images)
        except StopIteration:
            raise ValueError(f"no image in row {start + row}") from None
        yield _record(shard, options, columns, start + row, image, key, of_row)


def _record(
    shard: Shard,
    options: SourceOptions,
    columns: _Columns,
    position: int,
    image: bytes | int | None,
    key: Any,
    fields: Mapping[str, Any],
) -> Record | Reject:
    key_name = f"{columns.image}.path" if columns.image_path else columns.key
    no_image = f"column {columns.image!r}, the image, is null"
    size = (image if isinstance(image, int) else len(image or b"")) + sum(map(_size, fields.values()))
    if size > options.max_bytes:
        image, no_image = None, options.too_large(size)
    no_key = f"column {key_name!r}, the id, is null"
    content = None if isinstance(image, int) else image
    return build(shard, options, position, Stored(key, content, fields, no_key, no_image))


def _size(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str) else 8


def _values(column: pa.Array, wanted: str | None = None) -> list[Any]:
    """Python values; text stays bytes, which may be no UTF-8; dates, times and decimals become text.

    Args:
        column: of a batch.
        wanted: the type of metadata that it is to be; None for ids.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = column.cast(pa.large_binary())
    elif _is_list(column.type) and _is_text(column.type.value_type):
        column = column.cast(pa.large_list(pa.large_binary()))
    elif _is_list(column.type) and _is_told_as_text(column.type.value_type):
        column = column.cast(pa.large_list(pa.string()))
    elif pa.types.is_timestamp(column.type) and wanted == "timestamp":
        # An instant, whatever zone it is shown in; text has all of its digits, and UTC if it names no zone.
        column = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    elif _is_told_as_text(column.type):
        column = column.cast(pa.string())
    return column.to_pylist()
