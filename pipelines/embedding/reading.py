"""One pass through an image shard: its records with the digests of their images, and the digest of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..sources import Shard, SourceOptions, read_shard
from ..sources.opening import NotAsListedError, check_listed
from ..sources.records import DUPLICATE, Record, Reject


class Entry(NamedTuple):
    """A record to be embedded.

    Attributes:
        item_id: of the record.
        position: its place in the shard.
        content_hash: SHA-256 of its image, in hexadecimal.
        metadata: the configured fields' values, in their order.
        image: the encoded image.
    """

    item_id: str
    position: int
    content_hash: str
    metadata: list[Any]
    image: bytes


class ShardReading:
    """A shard as it is read. What grows with it is the set of its ids.

    Args:
        shard: the shard.
        options: how it is read.

    Attributes:
        damaged: why and where reading ended early; None for a whole shard.
    """

    def __init__(self, shard: Shard, options: SourceOptions) -> None:
        self.damaged: str | None = None
        self._shard = shard
        self._options = options
        self._digest = hashlib.sha256()
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[Entry | Reject]:
        """What is in the shard, in order; an id that occurred before comes as a reject. To be gone through once.

        Raises:
            NotAsListedError: if the shard is not the one that was listed, or no more when it has been read.
            OSError: if the file system fails otherwise.
        """
        for record in read_shard(self._shard, self._options):
            yield self._rejected(record) if isinstance(record, Reject) else self._entry(record)
        check_listed(self._shard)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over what was read: ids, image digests, metadata, and what could not be read."""
        return self._digest.hexdigest()

    def _rejected(self, reject: Reject) -> Reject:
        if reject.not_as_listed:
            raise NotAsListedError(reject.error)
        self._add([reject.item_id, reject.position, reject.error])
        if reject.ends_shard:
            self.damaged = reject.error
        return reject

    def _entry(self, record: Record) -> Entry | Reject:
        content_hash = hashlib.sha256(record.image).hexdigest()
        metadata = [record.metadata.get(name) for name in self._options.metadata]
        self._add([record.item_id, content_hash, metadata])
        if record.item_id in self._seen:
            error = "the id occurred before in this shard"
            return Reject(record.item_id, record.position, DUPLICATE, error)
        self._seen.add(record.item_id)
        return Entry(record.item_id, record.position, content_hash, metadata, record.image)

    def _add(self, stored: list[Any]) -> None:
        self._digest.update(json.dumps(stored, default=str).encode() + b"\n")
