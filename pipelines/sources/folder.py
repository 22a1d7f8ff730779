"""Folders of images: one file is one record, its relative path the id, its directory a field of metadata."""

from __future__ import annotations

from collections.abc import Iterator

from ..filesystem.files import FileInfo
from .base import Shard, SourceOptions
from .cuts import cut
from .fields import Stored, build, escape
from .opening import NotAsListedError, open_listed
from .records import Record, Reject
from .roots import absolute, relative_path


def extension(path: str) -> str:
    """The last extension in lower case, without its dot; `hidden` if a part of the path begins with a dot."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    return parts[-1].rpartition(".")[2].lower() if "." in parts[-1] else ""


def virtual_shards(root: str, images: list[FileInfo], images_per_shard: int) -> list[Shard]:
    """Parts of about `images_per_shard` neighbouring images, in order; see `cuts.cut`.

    Args:
        root: the folder, as listed.
        images: its images, sorted by path.
        images_per_shard: their mean number in a shard.

    Returns:
        Shards whose names are the absolute path of the folder, `#` and the name of the part.
    """
    parts = cut([relative_path(root, file.path) for file in images], images_per_shard)
    return [Shard(f"{absolute(root)}#{name}", "folder", tuple(images[part]), root) for name, part in parts]


def read(shard: Shard, options: SourceOptions) -> Iterator[Record | Reject]:
    """The images of one virtual shard, in order; see `lookalike.sources.read_shard`.

    A file that is gone, may not be read or is another than was listed is rejected alone, as `not_as_listed`.
    """
    for position, file in enumerate(shard.files):
        path = relative_path(shard.root, file.path)
        problem = file.problem or (options.too_large(file.size) if file.size > options.max_bytes else "")
        if problem:
            yield Reject(escape(path), position, "read", problem)
            continue
        try:
            with open_listed(file) as opened:
                # A file that grows meanwhile is found out when its shard has been read.
                image = opened.read(file.size + 1)
        except NotAsListedError as error:
            yield Reject(escape(path), position, "read", str(error), not_as_listed=True)
            continue
        fields = {"directory": path.rpartition("/")[0]}
        key = path.encode("utf-8", "surrogateescape")
        yield build(shard, options, position, Stored(key, image, fields))
