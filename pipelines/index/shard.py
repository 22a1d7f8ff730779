"""The index shard as a folder: ScaNN's files, the items beside them, and a manifest of every file."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.digests import sha256_file
from lookalike.model.errors import LookalikeError

from ..filesystem.files import sync
from ..store.index_manifest import ITEM_ID, ITEMS, MANIFEST, FileDigest, IndexManifest, Metric, read_manifest
from .searcher import Searcher, build, load
from .tuning import BuildOptions


class IndexShard:
    """An open index shard.

    Attributes:
        searcher: answers queries with row numbers.
        items: table of `item_id: string` and the metadata columns, memory-mapped; row i belongs to vector i.
        manifest: what it is made of.
    """

    def __init__(self, searcher: Searcher, items: pa.Table, manifest: IndexManifest) -> None:
        self.searcher = searcher
        self.items = items
        self.manifest = manifest

    @functools.cached_property
    def item_ids(self) -> pa.StringArray:
        """The ids as one array, row i belonging to vector i."""
        return self.items[ITEM_ID].combine_chunks()

    def rows_of(self, item_ids: pa.Array) -> np.ndarray:
        """Rows of the items with these ids: int64, one each, -1 for null or an unknown id."""
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
        return np.where(asked.is_null().to_numpy(zero_copy_only=False), -1, rows)


@dataclass(frozen=True)
class ShardContent:
    """What an index shard is to hold.

    Attributes:
        items: `item_id: string` first, then metadata columns; ids unique and not null.
        vectors: float32 (n, dim), one row an item; n may be 0.
        metric: cosine or euclidean.
        encoder_fingerprint: of the encoder that made the vectors.

    Raises:
        LookalikeError: if the items are not as said, or as many as the vectors.
    """

    items: pa.Table
    vectors: np.ndarray
    metric: Metric
    encoder_fingerprint: str

    def __post_init__(self) -> None:
        _check_items(self.items, len(self.vectors))


def write_index_shard(folder: str, content: ShardContent, options: BuildOptions) -> IndexManifest:
    """Builds an index and writes it into a folder, the manifest last and everything flushed to the disk.

    Args:
        folder: a local folder, empty or not there yet; the caller moves it to its place.
        content: what it is to hold.
        options: how the index is built.

    Raises:
        LookalikeError: if the folder is not empty, or the vectors cannot be searched.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if os.listdir(folder):
        raise LookalikeError(
            f"Expected an empty folder for an index shard. Received: {folder}, with files in it"
        )
    searcher = build(content.vectors, content.metric, options)
    searcher.save(folder)
    items = content.items
    with pa.OSFile(os.path.join(folder, ITEMS), "wb") as sink, pa.ipc.new_file(sink, items.schema) as writer:
        writer.write_table(items.combine_chunks())
    digests = _digests(folder, sorted(os.listdir(folder)))
    manifest = _manifest(searcher, content.encoder_fingerprint, digests)
    for name in manifest.files:
        sync(os.path.join(folder, name))
    path = os.path.join(folder, MANIFEST)
    Path(path).write_bytes(manifest.to_json())
    sync(path)
    sync(folder)
    return manifest


def in_memory(content: ShardContent, options: BuildOptions) -> IndexShard:
    """Builds an index shard that is searched and forgotten; see `write_index_shard`."""
    searcher = build(content.vectors, content.metric, options)
    return IndexShard(searcher, content.items, _manifest(searcher, content.encoder_fingerprint, {}))


def _manifest(searcher: Searcher, encoder_fingerprint: str, files: dict[str, FileDigest]) -> IndexManifest:
    return IndexManifest(
        format=1,
        metric=searcher.metric,
        dim=searcher.dim,
        count=len(searcher),
        encoder_fingerprint=encoder_fingerprint,
        parameters=searcher.parameters,
        settings=searcher.settings,
        scann_version=version("scann"),
        files=files,
    )


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


def open_index_shard(folder: str) -> IndexShard:
    """Opens an index shard after checking every one of its files.

    ScaNN answers wrongly from a truncated file and crashes without one, so it is given nothing unchecked.

    Args:
        folder: local folder.

    Raises:
        LookalikeError: naming the file that is missing, unknown or not what the manifest says.
    """
    manifest = read_manifest(folder)
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
    searcher = load(folder)
    with pa.memory_map(os.path.join(folder, ITEMS)) as source:
        items = pa.ipc.open_file(source).read_all()
    return IndexShard(searcher, items, manifest)


def _digests(folder: str, names: list[str]) -> dict[str, FileDigest]:
    """Digests of a shard's files, a thread a file: hashing lets go of the interpreter."""
    with ThreadPoolExecutor() as pool:
        return dict(
            zip(names, pool.map(lambda name: _digest(os.path.join(folder, name)), names), strict=True)
        )


def _digest(path: str) -> FileDigest:
    return FileDigest(sha256_file(path), os.path.getsize(path))
