"""Index shards of a generation, opened with every digest checked: to be searched, or for their vectors alone.

Those that do not fit into memory together are opened a few at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar

import numpy as np

from lookalike.model.digests import sha256_file
from lookalike.model.errors import LookalikeError
from lookalike.model.memory import memory

from ..filesystem import files
from ..filesystem.cache import local_copy
from ..store import generations
from ..store.generation import Generation, IndexRef
from ..store.hidden import read_hidden
from ..store.index_manifest import ITEMS, IndexManifest
from .searcher import Searcher
from .shard import OFFSETS, ORIGINS, IndexShard, open_index_shard, read_items, read_origins
from .stored import FILES, SIZES, read_vectors

_MOST_KEPT = 1 << 30
_kept: ContextVar[dict[tuple[str, str, str], IndexShard] | None] = ContextVar("kept", default=None)
"""Root, path and digest of the manifest -> what this thread opened within `kept_open`."""


@contextlib.contextmanager
def kept_open() -> Iterator[None]:
    """Within it, what this thread opened is not opened again: its files are checked once.

    What is kept takes an eighth of the memory at most, and no more than 1 GiB. A night in which an index shard grows
    opens it to grow, and then for a sample of queries as it is served before and after.
    """
    before = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(before)


def let_go() -> None:
    """Closes what is kept open until now."""
    (_kept.get() or {}).clear()


def _kept_open(root: str, ref: IndexRef, hidden: np.ndarray) -> IndexShard | None:
    """An index shard that is kept, with other items hidden."""
    one = (_kept.get() or {}).get((root, ref.path, ref.manifest_sha256))
    return one and IndexShard(one.searcher, one.items, one.manifest, one.offsets, hidden, one.origins)


def _keep(root: str, ref: IndexRef, shard: IndexShard) -> IndexShard:
    kept = _kept.get()
    if kept is not None:
        held = sum(memory_of(one.manifest) for one in kept.values())
        if held + memory_of(shard.manifest) <= min(_MOST_KEPT, memory() // 8):
            kept[root, ref.path, ref.manifest_sha256] = shard
    return shard


def open_index(root: str, ref: IndexRef) -> IndexShard:
    """Opens an index shard of a generation, every digest checked.

    Raises:
        LookalikeError: if a file is damaged, naming it.
    """
    folder = files.join(root, ref.path)
    hidden = read_hidden(root, ref.hidden)
    if kept := _kept_open(root, ref, hidden):
        return kept
    # This one decides, and not the one in a copy, which could name other files by their right digests.
    manifest = generations.read_index(root, ref)
    local = local_copy(folder, ref.manifest_sha256)
    try:
        return _keep(root, ref, open_index_shard(local, manifest, hidden))
    except LookalikeError:
        if not files.is_remote(folder):
            raise
    files.delete([local])  # the copy is damaged, or what it was made from
    return _keep(root, ref, open_index_shard(local_copy(folder, ref.manifest_sha256), manifest, hidden))


def memory_of(manifest: IndexManifest, *, exact: bool = False) -> int:
    """About how many bytes an index shard takes while it is open and searched.

    ScaNN holds what its files hold, and scores are computed from the vectors' file, which is mapped; brute force has a
    copy of them in float32, and under euclidean they are moved to their mean first.
    """
    parameters = manifest.parameters
    name = FILES[parameters.bytes][0]
    vectors = manifest.files[name].size if name in manifest.files else 0
    approximate = parameters.algorithm != "brute_force"
    copies = (exact or not approximate) + (manifest.metric == "euclidean")
    in_float32 = vectors * SIZES["float32"] // SIZES[parameters.bytes]
    return sum(file.size for file in manifest.files.values()) + approximate * vectors + copies * in_float32


def that_fit(refs: Sequence[IndexRef], sizes: Sequence[int], memory: int) -> list[list[IndexRef]]:
    """Index shards in their order, as many together as fit into memory; one that is larger is alone."""
    groups: list[list[IndexRef]] = []
    room = 0
    for ref, size in zip(refs, sizes, strict=True):
        if not groups or size > room:
            groups.append([])
            room = memory
        groups[-1].append(ref)
        room -= size
    return groups


def opened_in_turn(
    root: str,
    groups: Iterable[Sequence[IndexRef]],
    opener: Callable[[str, IndexRef], IndexShard] | None = None,
) -> Iterator[list[IndexShard]]:
    """Opens the shards of one group after another; a list is emptied, and its memory free, when the next is wanted.

    Args:
        root: folder of the store.
        groups: as `that_fit` gives them.
        opener: opens one; None is `open_index`.

    Raises:
        LookalikeError: as `open_index`.
    """
    for group in groups:
        shards = [(opener or open_index)(root, ref) for ref in group]
        try:
            yield shards
        finally:
            shards.clear()


def open_vectors(store: str, generation: Generation) -> list[IndexShard]:
    """The index shards of a generation without their ScaNN index, which holds the vectors a second time.

    Raises:
        LookalikeError: if a file is damaged, naming it.
        OSError: if one cannot be read.
    """
    return [open_vectors_of(store, ref) for ref in generation.indexes]


def open_vectors_of(store: str, ref: IndexRef) -> IndexShard:
    """One index shard of them. Raises as `open_vectors`."""
    hidden = read_hidden(store, ref.hidden)
    if kept := _kept_open(store, ref, hidden):
        return kept
    manifest = generations.read_index(store, ref)
    folder = local_copy(files.join(store, ref.path), ref.manifest_sha256)
    kind = manifest.parameters.bytes
    for name in [*FILES[kind], ITEMS, *({OFFSETS, ORIGINS} & manifest.files.keys())]:
        path, expected = os.path.join(folder, name), manifest.files[name].sha256
        if (found := sha256_file(path)) != expected:
            raise LookalikeError(f"{path} is damaged. Expected SHA-256 {expected}. Received: {found}")
    vectors = read_vectors(folder, kind, manifest.metric)
    items, offsets = read_items(folder, manifest)
    searcher = Searcher(vectors, manifest.metric, manifest.parameters, manifest.settings, threads=1)
    return IndexShard(searcher, items, manifest, offsets, hidden, read_origins(folder, manifest))
