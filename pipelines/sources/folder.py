"""Folders of images: one file is one record, its relative path the id, its directory a field of metadata."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from ..filesystem import files
from ..filesystem.files import FileInfo
from .base import Shard, SourceOptions, shards_for
from .fields import Stored, build, escape
from .opening import NotAsListedError, open_listed
from .records import Record, Reject


def relative_path(root: str, path: str) -> str:
    """The path below `root`, with forward slashes."""
    below = path[len(root.rstrip("/")) :]
    return (below if files.is_remote(path) else below.replace(os.sep, "/")).lstrip("/")


def extension(path: str) -> str:
    """The last extension in lower case, without its dot; `hidden` if a part of the path begins with a dot."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return parts[-1].rpartition(".")[2].lower() if "." in parts[-1] else ""


def virtual_shards(root: str, images: list[FileInfo], images_per_shard: int) -> list[Shard]:
    """Groups images by a hash of their relative path into a power of two of shards, keeping their order.

    A file that is added or removed changes one shard, except where the power of two changes with it. Shards
    to which no file falls are left out.
    """
    count = shards_for(len(images), images_per_shard)
    groups: dict[int, list[FileInfo]] = {}
    for file in images:
        path = os.fsencode(relative_path(root, file.path))
        digest = hashlib.blake2b(path, digest_size=8).digest()
        groups.setdefault(int.from_bytes(digest, "big") % count, []).append(file)
    return [
        Shard(f"{root}#{number:05d}-of-{count:05d}", "folder", tuple(groups[number]), root)
        for number in sorted(groups)
    ]


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The images of one virtual shard, in order; see `lookalike.sources.read_shard`.

    A file that is gone, may not be read or is another than was listed is rejected alone, as `not_as_listed`.
    """
    for position, file in enumerate(shard.files):
        path = relative_path(shard.root, file.path)
        try:
            with open_listed(file) as opened:
                image = opened.read()
        except NotAsListedError as error:
            yield Reject(escape(path), position, "read", str(error), not_as_listed=True)
            continue
        fields = {"directory": path.rpartition("/")[0]}
        key = path.encode("utf-8", "surrogateescape")
        yield build(shard, options, position, Stored(key, image, fields))
