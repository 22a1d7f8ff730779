"""The formats of an export: each takes some rows at a time and holds none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..filesystem import files
from ..sources.types import arrow_type
from ..store.index_manifest import ITEM_ID

Format = Literal["parquet", "npy", "fvecs"]
FORMATS: tuple[Format, ...] = get_args(Format)
PART_BYTES = 256 << 20
"""Of the vectors in a part of a Parquet set."""
EMBEDDING = "embedding"
IDS = "ids.parquet"


@dataclass(frozen=True)
class Content:
    """What is exported.

    Attributes:
        dim: length of a vector.
        metadata: name -> type.
        made_by: goes into the metadata of Parquet files, name -> value.
    """

    dim: int
    metadata: Mapping[str, str]
    made_by: Mapping[str, str]

    def schema(self, *, with_vectors: bool) -> pa.Schema:
        """The columns of a Parquet file; vectors are as in an embedding file."""
        kind = pa.list_(pa.field("element", pa.float32(), nullable=False), self.dim)
        return pa.schema(
            [
                pa.field(ITEM_ID, pa.string(), nullable=False),
                *([pa.field(EMBEDDING, kind, nullable=False)] if with_vectors else []),
                *(pa.field(name, arrow_type(of)) for name, of in self.metadata.items()),
            ],
            dict(self.made_by),
        )


Add = Callable[[pa.Table, np.ndarray], None]
"""Adds rows: a table of `item_id` and the metadata, and their vectors, float32 (rows, dim)."""


@contextlib.contextmanager
def opened(folder: str, form: Format, content: Content, done: dict[str, int]) -> Iterator[Add]:
    """Opens an export for writing. Each file appears when it is whole.

    Args:
        folder: of the files.
        form: of `FORMATS`.
        content: what comes.
        done: gets the name of each file, with its rows.

    Raises:
        OSError: if a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if form == "parquet":
            parts = _Parts(folder, content, done)
            stack.push(parts.end)
            yield parts.add
            return
        ids = stack.enter_context(_parquet(files.join(folder, IDS), content.schema(with_vectors=False)))
        name = f"vectors.{form}"
        vectors = stack.enter_context(files.write_atomic(files.join(folder, name)))
        rows = 0
        if form == "npy":
            _write_header(vectors, 0, content.dim)

        def add(items: pa.Table, added: np.ndarray) -> None:
            nonlocal rows
            ids.write_table(columns_of(items, None, ids.schema))
            vectors.write(added.astype("<f4").tobytes() if form == "npy" else _fvecs(added))
            rows += len(items)

        yield add
        if form == "npy":
            vectors.seek(0)
            _write_header(vectors, rows, content.dim)
        done |= {IDS: rows, name: rows}


@dataclass
class _Parts:
    """A Parquet set: part after part, none of more vectors than `PART_BYTES` hold."""

    folder: str
    content: Content
    done: dict[str, int]
    name: str = ""
    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    writer: Any = None

    def add(self, items: pa.Table, vectors: np.ndarray) -> None:
        """See `Add`."""
        most = max(1, PART_BYTES // (4 * self.content.dim))
        if self.writer is None or self.done[self.name] + len(items) > most:
            self._next()
        self.writer.write_table(columns_of(items, vectors, self.writer.schema))
        self.done[self.name] += len(items)

    def end(self, kind: Any, error: Any, trace: Any) -> bool | None:
        """Closes the last part, or gives it up where there is an error."""
        if kind is None and self.writer is None:
            self._next()  # of no items one part, so that their columns are told
        return self.open.__exit__(kind, error, trace)

    def _next(self) -> None:
        self.open.close()
        self.name = f"part-{len(self.done):05}.parquet"
        schema = self.content.schema(with_vectors=True)
        self.writer = self.open.enter_context(_parquet(files.join(self.folder, self.name), schema))
        self.done[self.name] = 0


@contextlib.contextmanager
def _parquet(path: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    # Vectors do not shrink; ids and vectors that never repeat need no dictionary.
    codecs = {f.name if f.name != EMBEDDING else f"{EMBEDDING}.list.element": "zstd" for f in schema}
    if EMBEDDING in schema.names:
        codecs[f"{EMBEDDING}.list.element"] = "none"
    repeating = [name for name in schema.names if name not in (ITEM_ID, EMBEDDING)]
    with (
        files.write_atomic(path) as file,
        pq.ParquetWriter(file, schema, compression=codecs, use_dictionary=repeating) as writer,
    ):
        yield writer


def columns_of(items: pa.Table, vectors: np.ndarray | None, schema: pa.Schema) -> pa.Table:
    """Items, and their vectors if the schema has them, as `Content.schema` says."""
    columns = []
    for one in schema:
        if one.name == EMBEDDING and vectors is not None:
            flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=one.type))
        else:
            columns.append(items[one.name].cast(one.type))
    return pa.table(columns, schema=schema)


def _write_header(file: IO[bytes], rows: int, dim: int) -> None:
    """The beginning of a .npy file, of the same length for any number of rows: NumPy leaves room for its digits."""
    described = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, described)


def _fvecs(vectors: np.ndarray) -> bytes:
    """Each vector behind its length, an int32, all little-endian: what FAISS and its data sets read.

    >>> _fvecs(np.ones((1, 2), np.float32)).hex()
    '020000000000803f0000803f'
    """
    rows = np.empty((len(vectors), vectors.shape[1] + 1), "<f4")
    rows[:, 1:] = vectors
    rows.view("<i4")[:, 0] = vectors.shape[1]
    return rows.tobytes()
