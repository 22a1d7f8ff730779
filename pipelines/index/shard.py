"""The index shard as a folder: ScaNN's files, the items beside them, and a manifest of every file.

Identical vectors are indexed once. Where there are any, items lie in the order of their vectors, those of one vector
sorted by id, and `offsets.npy` tells where each vector's items begin.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.digests import sha256_file
from lookalike.model.errors import LookalikeError

from ..filesystem.files import sync
from ..store.index_manifest import (
    FORMAT,
    ITEM_ID,
    ITEMS,
    MANIFEST,
    FileDigest,
    IndexManifest,
    Metric,
    read_manifest,
)
from .cheapest import build
from .copies import distinct_rows
from .scores import checked
from .searcher import Searcher, load
from .stored import stored
from .tuning import BuildOptions

OFFSETS = "offsets.npy"
ORIGINS = "origins.arrow"


class IndexShard:
    """An open index shard.

    Attributes:
        searcher: answers queries with numbers of distinct vectors.
        items: table of `item_id: string` and the metadata columns, memory-mapped.
        manifest: what it is made of.
        offsets: int64 (vectors + 1,): the items of vector v are the rows from `offsets[v]` up to `offsets[v + 1]`,
            sorted by id. None where each vector has one item: then row i belongs to vector i.
        hidden: int64 (m,), ascending: rows of `items` that are no longer served.
        origins: dictionary array (items,): `EmbeddingInput.digest` of the file that each item comes from; None where
            it is not known.
    """

    def __init__(
        self,
        searcher: Searcher,
        items: pa.Table,
        manifest: IndexManifest,
        offsets: np.ndarray | None = None,
        hidden: np.ndarray | None = None,
        origins: pa.DictionaryArray | None = None,
    ) -> None:
        self.searcher = searcher
        self.items = items
        self.manifest = manifest
        self.offsets = offsets
        self.hidden = np.empty(0, np.int64) if hidden is None else hidden
        self.origins = origins

    @functools.cached_property
    def item_ids(self) -> pa.StringArray:
        """The ids as one array, in the order of `items`."""
        return self.items[ITEM_ID].combine_chunks()

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """The rows of `items` that are served, int64 (n,), ascending."""
        return np.delete(np.arange(len(self.items)), self.hidden)

    def numbers_of(self, rows: np.ndarray) -> np.ndarray:
        """The vectors' numbers of rows of `items`, int64; -1 for -1."""
        if self.offsets is None:
            return rows
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def vectors_of(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of rows of `items`, none of them -1: float32 (rows, dim)."""
        return self.searcher.vectors[self.numbers_of(rows)]

    def rows_of(self, item_ids: pa.Array) -> np.ndarray:
        """Rows of the items with these ids: int64, one each, -1 for null, or an id that is unknown or hidden."""
        if not len(item_ids):
            return np.empty(0, np.int64)
        asked = item_ids.cast(pa.string())
        # index_in hashes its second argument at every call: let that be the shorter one.
        if len(asked) * 4 < len(self.item_ids):
            distinct = asked.unique()
            of_item = pc.index_in(self.item_ids, distinct).fill_null(-1).to_numpy(zero_copy_only=False)
            held = np.flatnonzero(of_item >= 0)
            row_of = np.full(len(distinct), -1, np.int64)
            row_of[of_item[held]] = held
            rows = row_of[pc.index_in(asked, distinct).to_numpy(zero_copy_only=False)]
        else:
            found = pc.index_in(asked, self.item_ids).fill_null(-1)
            rows = found.to_numpy(zero_copy_only=False).astype(np.int64)
        gone = asked.is_null().to_numpy(zero_copy_only=False)
        if len(self.hidden):
            gone |= np.isin(rows, self.hidden)
        return np.where(gone, -1, rows)


@dataclass(frozen=True)
class ShardContent:
    """What an index shard is to hold.

    Attributes:
        items: `item_id: string` first, then metadata columns; ids unique and not null.
        vectors: float32 (n, dim), one row an item; n may be 0.
        metric: cosine or euclidean.
        encoder_fingerprint: of the encoder that made the vectors.
        origins: see `IndexShard.origins`; None where the shard will have no additions.

    Raises:
        LookalikeError: if the items are not as said, or as many as the vectors.
    """

    items: pa.Table
    vectors: np.ndarray
    metric: Metric
    encoder_fingerprint: str
    origins: pa.DictionaryArray | None = None

    def __post_init__(self) -> None:
        _check_items(self.items, len(self.vectors))


def write_index_shard(
    folder: str, content: ShardContent, options: BuildOptions, asked: np.ndarray | None = None
) -> IndexManifest:
    """Builds an index and writes it into a folder: `in_memory`, then `save`, with their arguments and errors."""
    return save(folder, in_memory(content, options, asked))


def save(folder: str, shard: IndexShard, others: Mapping[str, bytes] | None = None) -> IndexManifest:
    """Writes an index shard into a folder, the manifest last and everything flushed to the disk.

    Args:
        folder: a local folder, empty or not there yet; the caller moves it to its place.
        shard: as `in_memory` built it.
        others: name -> content of files that are to stand beside its own.

    Raises:
        LookalikeError: if the folder is not empty.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if os.listdir(folder):
        raise LookalikeError(
            f"Expected an empty folder for an index shard. Received: {folder}, with files in it"
        )
    shard.searcher.save(folder)
    if shard.offsets is not None:
        np.save(os.path.join(folder, OFFSETS), shard.offsets, allow_pickle=False)
    _write_table(os.path.join(folder, ITEMS), shard.items)
    if shard.origins is not None:
        _write_table(os.path.join(folder, ORIGINS), pa.table({"origin": shard.origins}))
    for name, content in (others or {}).items():
        Path(folder, name).write_bytes(content)
    manifest = replace(shard.manifest, files=_digests(folder, sorted(os.listdir(folder))))
    for name in manifest.files:
        sync(os.path.join(folder, name))
    path = os.path.join(folder, MANIFEST)
    Path(path).write_bytes(manifest.to_json())
    sync(path)
    sync(folder)
    return manifest


def _write_table(path: str, table: pa.Table) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def in_memory(content: ShardContent, options: BuildOptions, asked: np.ndarray | None = None) -> IndexShard:
    """Builds an index shard.

    Args:
        content: what it is to hold.
        options: how the index is built.
        asked: queries of the user's to tune with, float32 (q, dim); None for none.

    Raises:
        LookalikeError: if the vectors cannot be searched.
    """
    vectors = checked(content.vectors, content.metric)
    items, offsets, origins = content.items, None, content.origins
    first, number = distinct_rows(np.asarray(stored(vectors, options.bytes, content.metric)))
    if len(first) < len(vectors):
        vectors = vectors[first]
        # Arrow sorts text by its UTF-8 bytes.
        keys = pa.table({"number": number, ITEM_ID: items[ITEM_ID]})
        order = pc.sort_indices(keys, [("number", "ascending"), (ITEM_ID, "ascending")])
        items, origins = items.take(order), None if origins is None else origins.take(order)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(number))])
    searcher = build(vectors, content.metric, options, asked)
    manifest = IndexManifest(
        format=FORMAT,
        metric=searcher.metric,
        dim=searcher.dim,
        count=len(items),
        encoder_fingerprint=content.encoder_fingerprint,
        parameters=searcher.parameters,
        settings=searcher.settings,
        scann_version=version("scann"),
        files={},
        farthest=searcher.farthest,
    )
    return IndexShard(searcher, items, manifest, offsets, origins=origins)


def _check_items(items: pa.Table, count: int) -> None:
    if not items.column_names or items.schema.field(0) != pa.field(
        ITEM_ID, pa.string(), items.schema.field(0).nullable
    ):
        raise LookalikeError(
            f"Expected items with a first column {ITEM_ID} of type string. "
            f"Received: {', '.join(f'{f.name}: {f.type}' for f in items.schema)}"
        )
    if len(items) != count:
        raise LookalikeError(
            f"Expected as many items as vectors. Received: {len(items)} items, {count} vectors"
        )
    ids = items[ITEM_ID]
    if ids.null_count:
        raise LookalikeError(f"Expected an {ITEM_ID} for every vector. Received: {ids.null_count} nulls")
    if pc.count_distinct(ids).as_py() != count:
        counts = pc.value_counts(ids)
        worst = counts[pc.index(pc.greater(counts.field("counts"), 1), True).as_py()].as_py()
        raise LookalikeError(
            f"Expected unique item ids. Received: {worst['values']!r} {worst['counts']} times"
        )


def open_index_shard(
    folder: str, manifest: IndexManifest | None = None, hidden: np.ndarray | None = None
) -> IndexShard:
    """Opens an index shard after checking every one of its files.

    ScaNN answers wrongly from a truncated file and crashes without one, so it is given nothing unchecked.

    Args:
        folder: local folder.
        manifest: what it is to hold, if that is known from elsewhere; None asks the folder itself.
        hidden: see `IndexShard.hidden`; None for none.

    Raises:
        LookalikeError: naming the file that is missing, unknown or not what the manifest says.
    """
    manifest = manifest or read_manifest(folder)
    held = set(os.listdir(folder)) - {MANIFEST}
    for name in sorted(held ^ set(manifest.files)):
        expected, found = ("no such file", "one") if name in held else ("a file", "none")
        raise LookalikeError(f"Index shard {folder}: expected {expected}. Received: {found} named {name}")
    for name, digest in manifest.files.items():
        size = Path(folder, name).stat().st_size
        if size != digest.size:
            raise LookalikeError(
                f"Index shard {folder}: expected {name} of {digest.size} bytes. Received: {size} bytes"
            )
    for name, digest in _digests(folder, list(manifest.files)).items():
        if digest != manifest.files[name]:
            raise LookalikeError(
                f"Index shard {folder}: expected {name} with SHA-256 {manifest.files[name].sha256}. "
                f"Received: {digest.sha256}"
            )
    items, offsets = read_items(folder, manifest)
    return IndexShard(load(folder), items, manifest, offsets, hidden, read_origins(folder, manifest))


def read_items(folder: str, manifest: IndexManifest) -> tuple[pa.Table, np.ndarray | None]:
    """`IndexShard.items` and `IndexShard.offsets` from a local folder whose digests were checked."""
    items = _mapped(os.path.join(folder, ITEMS))
    if OFFSETS not in manifest.files:
        return items, None
    return items, np.load(os.path.join(folder, OFFSETS), mmap_mode="r", allow_pickle=False)


def read_origins(folder: str, manifest: IndexManifest) -> pa.DictionaryArray | None:
    """`IndexShard.origins` from a local folder whose digests were checked; None if it has none."""
    if ORIGINS not in manifest.files:
        return None
    return _mapped(os.path.join(folder, ORIGINS))["origin"].combine_chunks()


def _mapped(path: str) -> pa.Table:
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).read_all()


def _digests(folder: str, names: list[str]) -> dict[str, FileDigest]:
    """Digests of a shard's files, a thread a file: hashing lets go of the interpreter."""
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(names, pool.map(lambda name: _digest(os.path.join(folder, name)), names), strict=True)
        )


def _digest(path: str) -> FileDigest:
    return FileDigest(sha256_file(path), os.path.getsize(path))
