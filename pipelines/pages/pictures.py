"""The pictures of items and queries for an album, read from the image shards again, and why some are not there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lookalike.model.errors import LookalikeError
from lookalike.model.images.boxes import PartOfImage

from ..config.job import Config
from ..evaluate.pictures import each_item_picture, each_query_picture
from ..filesystem import files
from ..query.inputs import kind_of, query_options
from ..query.query_files import query_table
from ..query.table_pictures import table_items, table_pictures
from ..runner.progress import Pace
from ..store import exclusions
from ..store.generation import Generation
from .album import ITEM, QUERY, Album

logger = logging.getLogger(__name__)
_DOWN = "it is taken down"


def add_items(
    album: Album, config: Config, generation: Generation, item_ids: Collection[str], kind: str = ITEM
) -> None:
    """Adds the pictures of items. A corpus that is gone, or cannot be read, is told in their place, and what is taken
    down is not shown.

    Args:
        album: takes them, by the ids.
        config: the job; its shards and store are read.
        generation: that serves the items.
        item_ids: wanted.
        kind: what the album calls them.
    """
    album.without(kind, "the shards no longer hold it")
    wanted = pa.array(list(item_ids), pa.string())
    is_down = pc.is_in(wanted, exclusions.excluded_ids(config.store))
    album.refuse(kind, wanted.filter(is_down).to_pylist(), _DOWN)
    pictures = each_item_picture(config, generation, wanted.filter(pc.invert(is_down)).to_pylist())
    album.add(kind, as_far_as(pictures, album, kind), config.corpus.max_pixels)


def add_queries(
    album: Album, config: Config, generation: Generation, path: str | None, query_ids: Collection[str]
) -> None:
    """Adds the pictures of queries, as `add_items` does of items.

    Args:
        album: takes them, by the ids.
        config: the job, which tells how queries are read.
        generation: that serves the items, by which queries may ask.
        path: of the queries; None where it is not known.
        query_ids: wanted.
    """
    if path is None:
        album.without(QUERY, "--queries was not given")
        return
    album.without(QUERY, "the queries no longer hold it")
    pictures = each_query(album, config, generation, path, query_ids)
    # Those that failed are shown, too, and one may have failed because it ends the process that decodes it.
    album.add(QUERY, as_far_as(pictures, album, QUERY), config.corpus.max_pixels, suspect=True)


def each_query(
    album: Album, config: Config, generation: Generation, path: str, query_ids: Collection[str]
) -> Iterator[tuple[str, bytes | PartOfImage]]:
    """Ids and pictures of queries; the album is told where they have none, and of items that are taken down.

    A picture that asks under the id of an item counts as that item's, as with `exclude_self`.

    Raises:
        LookalikeError, OSError: as the readers of queries.
    """
    down = set(exclusions.excluded_ids(config.store).to_pylist())
    album.refuse(QUERY, [query_id for query_id in query_ids if query_id in down], _DOWN)
    query_ids = [query_id for query_id in query_ids if query_id not in down]
    kind = kind_of(path)
    table = query_table(path) if kind == "table" else None
    if kind == "images":
        yield from each_query_picture(config, generation, path, query_ids)
    elif kind == "ids" or (table and table.content == "item_id"):
        items = table_items(table, query_ids) if table else {query_id: query_id for query_id in query_ids}
        album.refuse(QUERY, [query_id for query_id, item_id in items.items() if item_id in down], _DOWN)
        asked: dict[str, list[str]] = {}
        for query_id, item_id in items.items():
            if item_id not in down:
                asked.setdefault(item_id, []).append(query_id)
        for item_id, picture in each_item_picture(config, generation, asked):
            yield from ((query_id, picture) for query_id in asked[item_id])
    elif table is None or table.content == "vector":
        album.without(QUERY, "the query is a vector")
    elif table.content == "text":
        album.without(QUERY, "the query is words")
    else:
        yield from table_pictures(table, query_options(config.corpus), query_ids)


def as_far_as(
    pictures: Iterator[tuple[str, bytes | PartOfImage]], album: Album, kind: str
) -> Iterator[tuple[str, bytes | PartOfImage]]:
    """The same until one cannot be read, and then why."""
    pace = Pace()
    try:
        for count, picture in enumerate(pictures, 1):
            yield picture
            if pace.due():
                logger.info("%s pictures read", f"{count:,}")
    except (LookalikeError, OSError) as error:
        logger.warning("pictures are missing: %s", _reason(error))
        album.without(kind, _reason(error))


def _reason(error: Exception) -> str:
    return files.reason(error) if isinstance(error, OSError) else str(error)
