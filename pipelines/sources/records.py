"""What flows out of an image shard: a record, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIRECTORY = "directory"
"""A field that every id with a slash has: what stands before the last one. Folders of images give it too."""

DUPLICATE = "duplicate"
"""The stage of what is rejected because its id has an image already."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a shard.

    Attributes:
        item_id: non-empty UTF-8 text, unique in the corpus.
        image: the encoded image (JPEG, PNG, ...), as stored.
        position: 0-based place in the shard; records and rejects share one numbering.
        metadata: one value for each field of the configured schema, None where the record has none.
    """

    item_id: str
    image: bytes
    position: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """One input record that did not become an embedding, and why.

    Attributes:
        item_id: the id if one could be read (invalid bytes are shown escaped), else None.
        position: 0-based place in the shard.
        stage: `read`, `id`, `metadata`, `decode`, `encode` or `duplicate`.
        error: the reason, one sentence.
        ends_shard: True if nothing behind this position could be read.
        not_as_listed: True for a file of a folder that is gone, may not be read or has changed: it may be read later.
    """

    item_id: str | None
    position: int
    stage: str
    error: str
    ends_shard: bool = False
    not_as_listed: bool = False


def directory_of(item_id: str) -> str | None:
    """The field `DIRECTORY` of an id; None without a slash."""
    return item_id.rpartition("/")[0] or None


def class_of(record: Record, field: str) -> str | None:
    """The value of a metadata field as the name of a class, None where there is none or it is empty.

    A metadata field of the name `DIRECTORY` goes before what the id says.
    """
    if field == DIRECTORY and DIRECTORY not in record.metadata:
        return directory_of(record.item_id)
    value = record.metadata[field]
    return None if value in (None, "") else str(value)
