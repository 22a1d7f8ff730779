"""Parquet shards: a column of encoded images, or of `{bytes, path}` structs, beside a column of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .base import Shard, SourceOptions
from .fields import Stored, build, damage
from .opening import open_listed
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
    """The rows of one file, in order; see `lookalike.sources.read_shard`."""
    with open_listed(shard.files[0]) as file:
        source = _Source(file)
        position = 0
        try:
            parquet = pq.ParquetFile(
                pa.PythonFile(source, mode="r"),
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
            columns = _choose(parquet.schema_arrow, options)
            batches = parquet.iter_batches(_BATCH_ROWS, columns=columns.names, use_threads=False)
            for batch in batches:
                for item in _rows(shard, options, columns, batch, position):
                    yield item
                    position += 1
            if position != parquet.metadata.num_rows:
                raise _UnreadableError(f"the footer promises {parquet.metadata.num_rows} rows")
        except _UnreadableError as error:
            yield Reject(None, position, "read", str(error), ends_shard=True)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            if source.error is not None:
                raise source.error from None
            reason = " ".join(str(error).split())
            yield damage(shard, position, file.tell(), f"not a whole Parquet file ({reason}), read")


def _choose(schema: pa.Schema, options: SourceOptions) -> _Columns:
    found = ", ".join(f"{f.name} ({f.type})" for f in schema)
    image = _named("image", options.image_field, IMAGE_COLUMNS, schema, _is_image, found)
    for name in options.fields:
        if name in schema.names and not _holds(schema.field(name).type, options.metadata.get(name, "")):
            key = f"corpus.metadata.{name}" if name in options.metadata else "corpus.item_id"
            wanted = "lists or text" if is_list(options.metadata.get(name, "")) else "single values"
            raise _UnreadableError(f"{key}: expected a column of {wanted}. Columns found: {found}")
    fields = tuple(name for name in options.fields if name in schema.names)
    if options.id_from_field:
        if options.id_from_field not in fields:
            raise _UnreadableError(
                f"no column {options.id_from_field!r}; set corpus.item_id. Columns found: {found}"
            )
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
    raise _UnreadableError(f"no {what} column {sought}; set corpus.{what}_field. Columns found: {found}")


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
        return "bytes" in kind.names and _is_bytes(kind.field("bytes").type)
    return _is_bytes(kind)


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


def _rows(
    shard: Shard, options: SourceOptions, columns: _Columns, batch: pa.RecordBatch, start: int
) -> Iterator[Record | Reject]:
    image = batch.column(columns.image)
    is_struct = pa.types.is_struct(image.type)
    images = (pc.struct_field(image, "bytes") if is_struct else image).to_pylist()
    if columns.image_path:
        keys = _values(pc.struct_field(image, "path"))
    else:
        keys = _values(batch.column(columns.key)) if columns.key else [None] * batch.num_rows
    fields = {name: _values(batch.column(name), options.metadata.get(name)) for name in columns.fields}
    key_name = f"{columns.image}.path" if columns.image_path else columns.key
    for row, (content, key) in enumerate(zip(images, keys, strict=True)):
        stored = Stored(
            key,
            content,
            {name: values[row] for name, values in fields.items()},
            no_key=f"column {key_name!r}, the id, is null",
            no_image=f"column {columns.image!r}, the image, is null",
        )
        yield build(shard, options, start + row, stored)


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
    elif pa.types.is_timestamp(column.type) and wanted == "timestamp":
        # An instant, whatever zone it is shown in; text has all of its digits, and UTC if it names no zone.
        column = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    elif pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    return column.to_pylist()
