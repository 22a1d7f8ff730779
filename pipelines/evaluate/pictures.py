"""The pictures of some items and queries, read from the shards again, to show what went wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
from ..sources.fields import escape
from ..sources.roots import relative_path
from ..store.generation import Generation
from ..store.generations import served_notes
from ..store.notes import EmbeddedShard


def item_pictures(config: Config, generation: Generation, item_ids: Collection[str]) -> dict[str, bytes]:
    """Item id -> encoded image, as `each_item_picture` gives them."""
    return dict(each_item_picture(config, generation, item_ids))


def each_item_picture(
    config: Config, generation: Generation, item_ids: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Id and encoded image of items that the shards still hold. Only shards that hold one are read.

    Raises:
        LookalikeError: if the shards are gone.
        OSError: if one, or an embedding file, cannot be read.
    """
    yield from pictures_in(
        config, first_shards(config.store, served_notes(config.store, generation), item_ids)
    )


def pictures_in(config: Config, wanted: Mapping[str, Collection[str]]) -> Iterator[tuple[str, bytes]]:
    """Id and encoded image, decodable or not, of records that shards hold: shard -> ids. Raises as for items."""
    options = config.corpus.source_options()
    for shard in find_shards(config.corpus.shards, options) if wanted else ():
        if shard.name in wanted:
            yield from _read([shard], options, wanted[shard.name])


def first_shards(
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


def each_query_picture(
    config: Config, generation: Generation, path: str, query_ids: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Id and encoded image of queries; none for those that are vectors, or of a table. Raises as for items."""
    kind = inputs.kind_of(path)
    if kind == "ids":
        yield from each_item_picture(config, generation, query_ids)
    elif kind == "images":
        options = query_options(config.corpus)
        yield from _read(image_shards(path, options), options, query_ids)


def _read(
    shards: Iterable[Shard], options: SourceOptions, ids: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Of one id the first picture."""
    options, missing = replace(options, metadata={}), set(ids)
    for shard in shards:
        for record in read_records(_only(shard, options, missing), options):
            if not missing:
                return
            if record.item_id in missing:
                missing.remove(record.item_id)
                yield record.item_id, record.image


def _only(shard: Shard, options: SourceOptions, ids: Collection[str]) -> Shard:
    """Of a folder whose ids are paths, the files with some ids, as no other need be read; of all else the whole."""
    if not shard.root or options.item_id != "key":
        return shard
    wanted = [file for file in shard.files if escape(relative_path(shard.root, file.path)) in ids]
    return replace(shard, files=tuple(wanted))
