"""The pictures of items and queries for an album, read from the image shards again, and why some are not there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from lookalike.model.errors import LookalikeError

from ..config.job import Config
from ..evaluate.pictures import each_item_picture, each_query_picture
from ..filesystem import files
from ..query.inputs import kind_of
from ..store.generation import Generation
from .album import ITEM, QUERY, Album

logger = logging.getLogger(__name__)
_NO_PICTURE = {"vectors": "the query is a vector"}


def add_items(album: Album, config: Config, generation: Generation, item_ids: Collection[str]) -> None:
    """Adds the pictures of items. A corpus that is gone, or cannot be read, is told in their place.

    Args:
        album: takes them, by the ids.
        config: the job; its shards and store are read.
        generation: that serves the items.
        item_ids: wanted.
    """
    album.without(ITEM, "the shards no longer hold it")
    pictures = each_item_picture(config, generation, item_ids)
    album.add(ITEM, _as_far_as(pictures, album, ITEM), config.corpus.max_pixels)


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
    try:
        kind = kind_of(path)
    except (LookalikeError, OSError) as error:
        album.without(QUERY, _reason(error))
        return
    album.without(QUERY, _NO_PICTURE.get(kind, "the queries no longer hold it"))
    pictures = each_query_picture(config, generation, path, query_ids)
    album.add(QUERY, _as_far_as(pictures, album, QUERY), config.corpus.max_pixels)


def _as_far_as(pictures: Iterator[tuple[str, bytes]], album: Album, kind: str) -> Iterator[tuple[str, bytes]]:
    """The same until one cannot be read, and then why."""
    try:
        yield from pictures
    except (LookalikeError, OSError) as error:
        logger.warning("pictures are missing: %s", _reason(error))
        album.without(kind, _reason(error))


def _reason(error: Exception) -> str:
    return files.reason(error) if isinstance(error, OSError) else str(error)
