"""Rejects of the catalogue as pictures: what can be shown of a record that could not be embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lookalike.model.images.boxes import PartOfImage

from ..config.job import Config
from ..evaluate.pictures import pictures_in
from ..store.generation import Generation
from ..store.generations import served_notes
from ..store.notes import read_rejects
from .album import Album, Picture
from .pictures import as_far_as
from .rejects import SHARDS, kind_of

REJECT = "reject"
"""Kind of pictures: of records that were rejected."""
EXAMPLES, REASONS = 4, 12
_HEAD = 32


@dataclass(frozen=True)
class RejectExample:
    """A record that was rejected, as it is shown.

    Attributes:
        name: its id, or its shard and position.
        picture: of it.
        about: its size and how it begins; nothing if it could not be read.
    """

    name: str
    picture: Picture
    about: str


@dataclass(frozen=True)
class ReasonShown:
    """Why records were rejected: the stage, the sentence of the first, how many, and a few of them."""

    stage: str
    error: str
    count: int
    examples: Sequence[RejectExample]


def reject_examples(
    store: str, generation: Generation, config: Config | None, album: Album, down: Collection[str]
) -> list[ReasonShown]:
    """Reasons with examples, the most frequent first, from the first image shards that have rejects.

    Args:
        store: that holds the generation.
        generation: whose rejects they are.
        config: the job, whose shards are read; None shows no picture.
        album: takes the pictures, as `REJECT`.
        down: ids that are taken down, of which nothing is shown.

    Raises:
        LookalikeError: if what a generation names is damaged.
        OSError: if it cannot be read.
    """
    notes = [note for note in served_notes(store, generation) if note.rejected or note.duplicates][:SHARDS]
    counts: Counter[tuple[str, str]] = Counter()
    some: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in read_rejects(store, notes):
        kind = kind_of(row)
        counts[kind] += 1
        kept = some.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append(row)
    order = sorted(counts, key=lambda kind: (-counts[kind], kind))[:REASONS]
    wanted: dict[str, set[str]] = {}
    for one in (one for kind in order for one in some[kind]):
        if one["item_id"] and one["item_id"] not in down:
            wanted.setdefault(one["shard"], set()).add(one["item_id"])
    begins: dict[str, str] = {}
    if config is None:
        album.without(REJECT, "-c was not given")
    else:
        album.without(REJECT, "it could not be read")
        pictures = as_far_as(_noting(pictures_in(config, wanted), begins), album, REJECT)
        album.add(REJECT, pictures, config.corpus.max_pixels, suspect=True)
    return [
        ReasonShown(
            kind[0], some[kind][0]["error"], counts[kind], [_shown(row, album, begins) for row in some[kind]]
        )
        for kind in order
    ]


def _noting(
    pictures: Iterator[tuple[str, bytes]], begins: dict[str, str]
) -> Iterator[tuple[str, bytes | PartOfImage]]:
    for name, data in pictures:
        begins[name] = beginning(data)
        yield name, data


def _shown(row: Mapping[str, Any], album: Album, begins: Mapping[str, str]) -> RejectExample:
    name = row["item_id"]
    where = f"{row['shard']}, position {row['position']}"
    return RejectExample(name or where, album.show(REJECT, name or where), begins.get(name or where, ""))


def beginning(data: bytes) -> str:
    r"""The size of a file and its first bytes, as text if they are some.

    >>> beginning(b"<html>404 Not Found"), beginning(b"\xff\xd8\xff\xe0"), beginning(b"")
    ('19 bytes: <html>404 Not Found', '4 bytes: ff d8 ff e0', 'empty')
    """
    if not data:
        return "empty"
    head = data[:_HEAD]
    is_text = all(32 <= one < 127 or one in b"\t\r\n" for one in head)
    head = head if is_text else head[: _HEAD // 2]
    shown = head.decode("ascii").strip() if is_text else head.hex(" ")
    return f"{len(data):,} bytes: {shown}{' …' if len(data) > len(head) else ''}"
