"""The pictures of some items and queries, read from the shards again, to show what went wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..config.job import Config
from ..filesystem import files
from ..filesystem.parquet import damage_named
from ..query import inputs
from ..query.inputs import query_options
from ..query.query_files import image_shards
from ..sources import Shard, SourceOptions, find_shards, read_records
from ..store.generation import Generation
from ..store.generations import served_notes
from ..store.notes import EmbeddedShard


def item_pictures(config: Config, generation: Generation, item_ids: Collection[str]) -> dict[str, bytes]:
    """Item id -> encoded image, of those that the shards still hold. Only shards that hold one are read.

    Raises:
        LookalikeError: if the shards are gone.
        OSError: if one, or an embedding file, cannot be read.
    """
    wanted = _first_shards(config.store, served_notes(config.store, generation), item_ids)
    options = config.corpus.source_options()
    found: dict[str, bytes] = {}
    for shard in find_shards(config.corpus.shards, options) if wanted else ():
        if shard.name in wanted:
            found |= _read([shard], options, wanted[shard.name])
    return found


def _first_shards(
    store: str, notes: Iterable[EmbeddedShard], item_ids: Collection[str]
) -> dict[str, set[str]]:
    """Shard -> those of some ids that it serves: of an id in several shards the first one does."""
    missing = pa.array(sorted(item_ids), pa.string())
    wanted: dict[str, set[str]] = {}
    for note in notes:
        if not len(missing):
            break
        path = files.join(store, note.path)
        with files.open_read(path) as file, damage_named(path):
            held = pq.read_table(file, columns=["item_id"])["item_id"]
        if here := held.filter(pc.is_in(held, missing)).to_pylist():
            wanted[note.shard] = set(here)
            missing = missing.filter(pc.invert(pc.is_in(missing, pa.array(here, pa.string()))))
    return wanted


def query_pictures(
    config: Config, generation: Generation, path: str, query_ids: Collection[str]
) -> dict[str, bytes]:
    """Query id -> encoded image; none for queries that are vectors, or of a table. Raises as `item_pictures`."""
    kind = inputs.kind_of(path)
    if kind == "ids":
        return item_pictures(config, generation, query_ids)
    if kind != "images":
        return {}
    options = query_options(config.corpus)
    return _read(image_shards(path, options), options, set(query_ids))


def _read(shards: Iterable[Shard], options: SourceOptions, ids: set[str]) -> dict[str, bytes]:
    options = replace(options, metadata={})
    found: dict[str, bytes] = {}
    for shard in shards:
        for record in read_records(shard, options):
            if len(found) == len(ids):
                return found
            if record.item_id in ids:
                found.setdefault(record.item_id, record.image)
    return found
