"""The values of one metadata field, of the items and of a file of queries, for relevance by class."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..config.job import Corpus
from ..filesystem.files import FileInfo
from ..index.post_processing import BLOCK
from ..query import inputs
from ..query.inputs import query_options
from ..query.query_files import image_shards, query_table, table_files
from ..query.query_table import QueryTable, is_text
from ..query.table_rows import OURS, read_table
from ..query.vector_files import ID_COLUMNS, ids_of, plain_column
from ..sources import read_records
from ..sources.fields import shown
from ..sources.parquet_pages import open_parquet
from ..sources.records import DIRECTORY, directory_of
from ..sources.types import UnfitError, arrow_type, convert, is_list
from ..store.index_manifest import ITEM_ID
from .ranking import RankedCorpus

_ROWS = 4096
"""Of a Parquet file, that are read at once."""


@dataclass(frozen=True)
class Labels:
    """The values of a field.

    Attributes:
        name: the field.
        values: every value that an item has, once.
        items: int32 (items,), position in `values`; -1 for an item without one.
        of_query: query id -> its value, None if it has none.
    """

    name: str
    values: list[Any]
    items: np.ndarray
    of_query: Callable[[str], Any]

    def of_item(self, number: int) -> Any:
        """The value of an item, None if it has none."""
        code = self.items[number]
        return self.values[code] if code >= 0 else None

    def counts(self) -> dict[Any, int]:
        """Value -> number of items that have it."""
        counts = np.bincount(self.items[self.items >= 0], minlength=len(self.values))
        return dict(zip(self.values, counts.tolist(), strict=True))

    def codes(self, query_ids: Sequence[str]) -> np.ndarray:
        """Position in `values` of the queries' values: int32 (queries,), -2 for one that no item has."""
        return np.array([self._position.get(self.of_query(query_id), -2) for query_id in query_ids], np.int32)

    @functools.cached_property
    def _position(self) -> dict[Any, int]:
        return {value: position for position, value in enumerate(self.values)}


def make_labels(name: str, of_items: pa.ChunkedArray, of_query: Callable[[str], Any]) -> Labels:
    """Labels from a column of the items; empty text is no class."""
    if pa.types.is_string(of_items.type):
        of_items = pc.if_else(pc.equal(of_items, ""), None, of_items)
    encoded = of_items.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Labels(name, encoded.dictionary.to_pylist(), codes, of_query)


def as_text(value: Any) -> str | None:
    """A value as the name of a class."""
    return None if value is None else str(value)


def is_field(name: str, metadata: Mapping[str, str]) -> bool:
    """Whether items can be told apart by this field: one that the generation carries, or `directory`."""
    return name in metadata or name == DIRECTORY


def read_labels(
    name: str, path: str, corpus: Corpus, metadata: Mapping[str, str], items: RankedCorpus
) -> Labels:
    """The values of a field, of all items and of the queries in `path`.

    Args:
        name: of a field in `metadata`, or `directory`.
        path: queries, as the query job takes them.
        corpus: tells how image shards are read.
        metadata: what the generation carries, name -> type.
        items: the corpus.

    Raises:
        LookalikeError: if the field is not there, is of a type that makes no classes, or no query has it.
    """
    if not is_field(name, metadata):
        carried = ", ".join(metadata) or "none"
        raise LookalikeError(
            f"Expected a metadata field that the index carries (now: {carried}), or `{DIRECTORY}`. Received: "
            f"{name}. Add it to corpus.metadata and run `lookalike nightly`"
        )
    if name not in metadata:
        ids = items.items[ITEM_ID].to_pylist()
        of_items = pa.chunked_array([pa.array([directory_of(item_id) for item_id in ids], pa.string())])
        return make_labels(name, of_items, directory_of)
    if metadata[name] == "float64" or is_list(metadata[name]):
        raise LookalikeError(
            f"Expected a field of single values, but no float64, as the class. Received: {name}, {metadata[name]}"
        )
    if inputs.kind_of(path) == "ids":
        values = dict(zip(items.items[ITEM_ID].to_pylist(), items.items[name].to_pylist(), strict=True))
    else:
        values = query_labels(name, path, corpus, metadata[name])
    # Empty text is no class, as in training.
    values = {query_id: value for query_id, value in values.items() if value not in (None, "")}
    if not values:
        raise LookalikeError(f"Expected queries with the field {name}. Received: none in {path}")
    return make_labels(name, items.items[name], values.get)


def query_labels(name: str, path: str, corpus: Corpus, type_name: str) -> dict[str, Any]:
    """Query id -> value of a field, of queries that are not asked by ids of items.

    Args:
        name: of the field.
        path: of the queries.
        corpus: tells how image shards are read.
        type_name: of the field, as in a job file.

    Raises:
        LookalikeError: if the queries have no such field.
        OSError: if they cannot be read.
    """
    kind = inputs.kind_of(path)
    if kind == "ids":
        raise LookalikeError(f"Expected queries that have the field {name}. Received: ids of items in {path}")
    if kind == "vectors":
        return _of_vectors(name, table_files(path), None, arrow_type(type_name))
    if kind == "table":
        return _of_table(name, path, type_name)
    return _of_images(name, path, corpus, type_name)


def _of_images(name: str, path: str, corpus: Corpus, kind: str) -> dict[str, Any]:
    """Reads the shards a second time, for the field alone: that takes a small part of what encoding takes."""
    options = query_options(corpus, {name: kind})
    found: dict[str, Any] = {}
    for shard in image_shards(path, options):
        for record in read_records(shard, options):
            found.setdefault(record.item_id, record.metadata[name])
    return found


def _of_table(name: str, path: str, kind: str) -> dict[str, Any]:
    table = query_table(path)
    if table.form == "parquet":
        return _of_vectors(name, table.files, table, arrow_type(kind))
    if name not in table.columns.names:
        raise LookalikeError(
            f"Expected a column {name} in the query table. Received: {', '.join(table.columns.names) or 'none'} "
            f"beside the queries in {path}"
        )
    found: dict[str, Any] = {}
    place = len(OURS) + table.columns.get_field_index(name)
    for rows in read_table(table, BLOCK, 1, ""):
        told = zip(rows.column(0).to_pylist(), rows.column(place).to_pylist(), strict=True)
        for query_id, value in told:
            try:
                found.setdefault(query_id, convert(kind, value))
            except UnfitError:
                raise LookalikeError(f"{path}: {name} cannot be read as {kind}: {shown(value)}") from None
    return found


def _of_vectors(
    name: str, listed: Sequence[FileInfo], table: QueryTable | None, kind: pa.DataType
) -> dict[str, Any]:
    """From the columns of Parquet files, of vectors or of a query table."""
    found: dict[str, Any] = {}
    once: dict[Any, Any] = {}
    before = 0
    for file_info in listed:
        with open_parquet(file_info.path) as file:
            schema = pq.read_schema(file)
            columns = schema.names
            if name not in columns:
                raise LookalikeError(
                    f"Expected a column {name} beside the vectors. Received: {', '.join(columns)} in {file_info.path}"
                )
            id_column = next((column for column in ID_COLUMNS if column in columns), None)
            id_column = table.id_column if table else id_column
            wanted = list(dict.fromkeys([*filter(None, [id_column]), name]))
            # A long text stands in a file once, and so in memory.
            texts = [one for one in wanted if is_text(schema.field(one).type)]
            for rows in pq.ParquetFile(file, read_dictionary=texts).iter_batches(_ROWS, columns=wanted):
                values = _cast(plain_column(rows[name], file_info.path), name, kind, file_info.path)
                numbers = range(before, before + len(rows))
                column = pa.array(numbers) if id_column is None else rows[id_column]
                ids, unusable = ids_of(plain_column(column, file_info.path), numbers)
                before += len(rows)
                for row, (query_id, value) in enumerate(zip(ids, values, strict=True)):
                    if row not in unusable:
                        found.setdefault(query_id, once.setdefault(value, value))
    return found


def _cast(column: pa.Array, name: str, kind: pa.DataType, path: str) -> list[Any]:
    try:
        return column.cast(kind).to_pylist()
    except (pa.ArrowException, OverflowError) as error:
        raise LookalikeError(f"{path}: {name} cannot be read as {kind}: {error}") from None
