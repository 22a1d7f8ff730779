"""Index shards of a generation, opened with every digest checked: to be searched, or for their vectors alone."""

from __future__ import annotations

import os

import numpy as np

from lookalike.model.digests import sha256_file
from lookalike.model.errors import LookalikeError

from ..filesystem import files
from ..filesystem.cache import local_copy
from ..store import generations
from ..store.generation import Generation, IndexRef
from ..store.index_manifest import ITEMS
from .searcher import Searcher
from .shard import OFFSETS, IndexShard, open_index_shard, read_items

VECTORS = "dataset.npy"
"""The vectors of an index shard, as `searcher.Searcher.save` and ScaNN write them."""


def open_index(root: str, ref: IndexRef) -> IndexShard:
    """Opens an index shard of a generation, every digest checked.

    Raises:
        LookalikeError: if a file is damaged, naming it.
    """
    folder = files.join(root, ref.path)
    # This one decides, and not the one in a copy, which could name other files by their right digests.
    manifest = generations.read_index(root, ref)
    local = local_copy(folder, ref.manifest_sha256)
    try:
        return open_index_shard(local, manifest)
    except LookalikeError:
        if not files.is_remote(folder):
            raise
    files.delete([local])  # the copy is damaged, or what it was made from
    return open_index_shard(local_copy(folder, ref.manifest_sha256), manifest)


def open_vectors(store: str, generation: Generation) -> list[IndexShard]:
    """The index shards of a generation without their ScaNN index, which holds the vectors a second time.

    Raises:
        LookalikeError: if a file is damaged, naming it.
        OSError: if one cannot be read.
    """
    return [_open(store, ref) for ref in generation.indexes]


def _open(store: str, ref: IndexRef) -> IndexShard:
    manifest = generations.read_index(store, ref)
    folder = local_copy(files.join(store, ref.path), ref.manifest_sha256)
    for name in [VECTORS, ITEMS, *([OFFSETS] if OFFSETS in manifest.files else [])]:
        path, expected = os.path.join(folder, name), manifest.files[name].sha256
        if (found := sha256_file(path)) != expected:
            raise LookalikeError(f"{path} is damaged. Expected SHA-256 {expected}. Received: {found}")
    vectors = np.load(os.path.join(folder, VECTORS), mmap_mode="r", allow_pickle=False)
    items, offsets = read_items(folder, manifest)
    searcher = Searcher(vectors, manifest.metric, manifest.parameters, manifest.settings, threads=1)
    return IndexShard(searcher, items, manifest, offsets)
