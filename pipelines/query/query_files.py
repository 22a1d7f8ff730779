"""The files that a path of queries names, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.files import FileInfo
from ..sources import Shard, SourceOptions, find_shards
from ..sources.base import IMAGE_EXTENSIONS
from ..sources.folder import virtual_shards
from ..sources.parquet_pages import open_parquet
from ..sources.walk import named
from .query_table import BOX, QUERY_ID, TEXT, WHERE, QueryTable, form_of, open_table
from .vector_files import ID_COLUMNS, VECTOR_COLUMNS, vector_column_of


def table_files(path: str) -> list[FileInfo]:
    """The files of a table, or of vectors: one, a glob, or a folder of nothing but Parquet; none if it is neither.

    Raises:
        LookalikeError: if a path that is named like one does not exist.
    """
    if files.is_folder(path):
        found = []
        for info in files.each_file(path):
            name = info.path.rpartition("/")[2]
            if name.startswith((".", "_")):  # _SUCCESS
                continue
            if form_of(name) != "parquet":
                return []
            found.append(info)
        return sorted(found, key=lambda info: info.path)
    return files.glob(path) if form_of(path) else []


def refuse_own_output(path: str, *outputs: str) -> None:
    """Checks that a job does not write over what it is to read: that would be gone before it is read.

    Args:
        path: of queries: a file, a glob or a folder; anything else is let pass.
        outputs: files that the job writes.

    Raises:
        LookalikeError: if one of them is among the queries, or lies in their folder already.
        OSError: if a store cannot be asked.
    """
    is_one = files.is_remote(path) or files.exists(path) or not set("*?[{") & set(path)
    named = [path] if is_one else [info.path for info in files.glob(path)]
    for output in outputs:
        if any(files.is_same_file(one, output) or files.lies_in(output, one) for one in named):
            raise LookalikeError(
                f"Expected nothing to read that is among what this writes; name another --out. Received: {output}"
            )


def kind_of_parquet(path: str) -> Literal["images", "vectors", "table"]:
    """Whether a Parquet file is a shard of images, holds only vectors, or is a query table.

    A shard of images has a column of bytes, and no `query_id`. Raises LookalikeError, OSError.
    """
    with open_parquet(path) as file:
        schema = pq.read_schema(file)
    names = set(schema.names)
    vector = vector_column_of(schema)
    if vector and names <= {vector, *ID_COLUMNS}:
        return "vectors"
    if names & {QUERY_ID, BOX, WHERE} or vector in VECTOR_COLUMNS:
        return "table"
    if any(_is_bytes(field.type) for field in schema):
        return "images"
    return "table" if vector or names & {"path", "item_id", TEXT} else "images"


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return (
        types.is_struct(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
    )


def query_table(path: str) -> QueryTable:
    """Opens the table of a path of kind `table`. Raises as `open_table`."""
    listed = table_files(path)
    form = form_of(listed[0].path)
    assert form
    return open_table(listed, form)


def image_shards(path: str, options: SourceOptions) -> Sequence[Shard]:
    """The shards of images that a path of queries names; one photograph is one, too. Raises as `find_shards`."""
    name = path.rpartition("/")[2]
    if (
        name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS
        and not files.is_folder(path)
        and files.exists(path)
    ):
        return virtual_shards(os.path.dirname(path) or ".", named(path, follow_links=True), 1)
    return find_shards(path, options)
